"""Real training frameworks on a local cluster: Kubeflow's operator, TensorFlow, PyTorch."""
