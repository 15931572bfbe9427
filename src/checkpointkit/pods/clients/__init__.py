"""Clients for the three sources that the checkpointer asks; bring your own where these do not fit.

- `apiserver`: the API server, by a kubeconfig or as a pod's service account.
- `kubelet`: the kubelet of this node.
- `cri`: the container runtime of this node.

A client answers with values. Whatever a server does, or does not, becomes `Failed`, with a reason
that quotes nothing of the answer: it may hold secrets. What is wrong with the configuration is an
error of `checkpointkit` when the client is made.
"""

from __future__ import annotations
