"""Agreement with the real kube-scheduler on one API server: the same nodes will do for the same pod."""
