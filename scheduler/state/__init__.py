"""What is known of the cluster: events in, Snapshot out."""

from scheduler.state.cluster import ClusterState as ClusterState
