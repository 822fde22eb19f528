"""The node actor: plays every node's kubelet on the local control plane, well behaved or not.

It does its own arithmetic (``admission``) and shares none with the scheduler, so that a pod it
rejects is a second opinion. ``kubelet`` decides without I/O; ``actor`` talks to the API server.
"""
