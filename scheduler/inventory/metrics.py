"""What the agent's ``/metrics`` tells: names ``stowplan_agent_*``, label values from closed sets only."""

from __future__ import annotations

from collections import Counter as Tally
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from scheduler.inventory.assess import HealthState
from scheduler.inventory.health import Severity
from scheduler.inventory.report import NodeState
from scheduler.kube.wire.inventory import GPUNodeStatus

_PROBE_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class AgentMetrics:
    """In a registry of its own, so that several agents fit in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._probe_seconds = Histogram(
            "stowplan_agent_probe_seconds",
            "Time of one probe that came back",
            buckets=_PROBE_S,
            registry=self.registry,
        )
        self._writes = Counter(
            "stowplan_agent_writes", "Writes sent to the API server", registry=self.registry
        )
        self._failures = Counter(
            "stowplan_agent_write_failures", "Status writes that did not succeed", registry=self.registry
        )
        self._events = Counter(
            "stowplan_agent_events", "NVML events, by their severity", ["severity"], registry=self.registry
        )
        self._devices = Gauge(
            "stowplan_agent_devices", "Devices by health", ["state"], registry=self.registry
        )
        self._usable = Gauge(
            "stowplan_agent_devices_usable", "Devices new pods may be given", registry=self.registry
        )
        self._state = Gauge(
            "stowplan_agent_node_state", "1 for the state the node is in", ["state"], registry=self.registry
        )
        for severity in get_args(Severity):
            self._events.labels(severity)

    def probed(self, took_s: float) -> None:
        self._probe_seconds.observe(max(0.0, took_s))

    def write_sent(self) -> None:
        self._writes.inc()

    def write_failed(self) -> None:
        self._failures.inc()

    def struck(self, severity: Severity) -> None:
        self._events.labels(severity).inc()

    def told(self, status: GPUNodeStatus) -> None:
        """The status that is written next."""
        states = Tally(device.state for device in status.devices or ())
        for state in get_args(HealthState):
            self._devices.labels(state).set(states[state])
        self._usable.set(status.usable or 0)
        for state in get_args(NodeState):
            self._state.labels(state).set(state == status.state)
