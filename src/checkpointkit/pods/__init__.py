"""Pods that outlive the API server: a pod checkpointer for the Kubernetes of today.

While a parent pod is Ready, a copy of it is kept on the node that needs no API server; when the
parent does not run, the copy is started as a static pod, and it goes when the parent is back.

Most modules decide, and touch nothing: whatever was observed, and the time, come as values.

- `model`: what a pod is to the checkpointer (parent, checkpoint, none), and the names of files.
- `answers`: what the API server and the kubelet have answered, as values.
- `observation`: what that says of a pod; what it does not say is "unknown", with the reason.
- `runtime`: the same for the container runtime, which alone decides whether a pod runs.
- `sightings`: one tick: the answers of all sources become what was seen of each pod.
- `machine`: one pod, one tick: state, observation and time give the next state and what to do.
- `record`: what is kept of a pod from one tick to the next, and over restarts.
- `lineage`: pods of one controller: who is whose successor.
- `plan`: all pods of a node, one tick; the checkpointer itself goes last.
- `references`: the secrets and config maps that a pod needs; `fetching`: when they are asked for.
- `sanitize`: a parent and what it refers to become a static manifest and the files beside it.
- `assets`: secrets and config maps as values, and the files to write; `mounts`: who mounts which.
- `acceptance`: whether a kubelet takes a manifest for a static pod.
- `rules`: how Kubernetes decodes a pod, and what is valid; what is not known survives.

Others ask and write. Each can be used alone:

- `sources`: the three sources as protocols; `clients`: the clients that come with this package.
- `files`: manifests and sets of files on the disk.
- `state`: the records, as checkpoints.
- `saving`, `levelling`, `upkeep`: parents are saved, the disk is brought to what was decided, what
  is lost is put back. `copies` and `activation` know what is on the disk.
- `checkpointer`: `PodCheckpointer` puts all of them together: `reconcile` is one tick.
- `daemon`: the program around it, with its settings, its log and its metrics.

The contract is that of
bootkube's pod checkpointer, where it is not known to be wrong:
https://github.com/kubernetes-retired/bootkube/tree/master/cmd/checkpoint.
"""
