"""What the checkpointer keeps on the node's disk for a kubelet to use.

- `manifests`: the static manifests, inactive and active.
- `assetsets`: the files that they mount in place of secrets and config maps.
- `directory`: the operations on a directory that both are made of.

One process at a time writes; the others may read. What lies there may be anybody's: no link is
followed below the configured directories, no fifo is waited for, and what is not ours is left.
"""
