"""Between Kubernetes and ``quotas``: what teams use and ask for, who may start, and who must make room."""
