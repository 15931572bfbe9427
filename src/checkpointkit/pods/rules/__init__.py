"""What Kubernetes itself says of a pod: how its types are decoded, and what is valid.

`acceptance`, one level up, asks these modules whether a kubelet takes a manifest. Unknown fields
are left alone everywhere: they may be of a Kubernetes that is newer than these rules.
"""
