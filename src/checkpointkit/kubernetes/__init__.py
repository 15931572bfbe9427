"""What the modules that speak with Kubernetes share: its names and numbers, and how it is asked.

- `grammar`: what may be a name; `quantity`: numbers such as `1.5Gi`. Both are pure.
- `kubeconfig`: which API server, and as whom.
- `http`: a GET with an end, of which `Failed` may come; `transport` and `wire` below it.
- `patience`: when a server that has not answered in time is asked again.
"""

from __future__ import annotations
