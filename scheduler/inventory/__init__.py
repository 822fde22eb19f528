"""What NVML says about a node's GPUs: probed on the node, judged, written as a GPUNode, read by the planner.

Works without numpy, solver or client library: the agent runs beside every GPU workload and stays small.
"""
