"""All kubelets of the actor as one sans-IO machine: pods and time in, instructions out.

A pod's capacity is given back before the instruction that announces its end, so nobody who waits
for the announcement can find the node still full. Times are seconds since the epoch, and the
caller's; nothing here reads a clock.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from deploy.local.nodes.addresses import Addresses
from deploy.local.nodes.admission import BadQuantity, Denied, Ledger, pod_requests
from deploy.local.nodes.devices import DeviceLedger
from deploy.local.nodes.instructions import (
    Instruction,
    MarkFinished,
    MarkRunning,
    Reject,
    Remove,
    StartProcess,
    StopProcess,
)
from deploy.local.nodes.mischief import ANNOTATION, EVERYWHERE, GOOD, Mischief, of_annotation, seconds_of
from deploy.local.nodes.pools import NodeSpec
from deploy.local.nodes.wire import NodePod

RUN_SECONDS = "stowplan.dev/run-seconds"
EXIT_CODE = "stowplan.dev/exit-code"
RUN_COMMAND = "stowplan.dev/run-command"
FOREVER = "forever"

#: A container that fails is restarted after 1 s, 2 s, 4 s and so on (a kubelet starts at 10 s).
BACKOFF_FIRST_S = 1.0
BACKOFF_MOST_S = 300.0
#: How long a lost node holds back what falls due on it before it looks again.
_LOST_RETRY_S = 1.0
_KILLED = 137
_EXIT_CODE_MOST = 255

Stage = Literal["starting", "running", "stopping", "finished", "removing"]
Due = Literal["start", "end", "restart", "exit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """A pod's annotations, read."""

    mischief: Mischief = GOOD
    #: None: it runs until it is deleted.
    run_s: float | None = None
    exit_code: int = 0


_NO_WISH = _Wish()


@dataclass(slots=True, kw_only=True)
class _Tenant:
    """A pod this actor answers for."""

    pod: NodePod
    wish: _Wish
    stage: Stage
    #: Empty before it has an address and after it gave it back.
    ip: str = ""
    started_s: float = 0.0
    restarts: int = 0
    has_process: bool = False


@dataclass(slots=True)
class Audit:
    """The actor's own count, for an auditor to hold against the API server's."""

    admitted: int = 0
    restored: int = 0
    finished: int = 0
    removed: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


class Kubelets:
    """One kubelet per node. Pods bound to nodes that are not ours are none of our business.

    memory: bytes of each device of a node by UUID, or None where nothing is known of its devices.
    """

    def __init__(
        self,
        nodes: Iterable[NodeSpec],
        mischief: Mapping[str, Mischief],
        memory: Callable[[str], Mapping[str, int] | None] = lambda _: None,
    ) -> None:
        self.devices = DeviceLedger()
        self._memory = memory
        self.audit = Audit()
        self._nodes = {node.name: node for node in nodes}
        self._ledgers = {node.name: Ledger(node.amounts) for node in self._nodes.values()}
        self._mischief = mischief
        self._tenants: dict[str, _Tenant] = {}
        self._addresses = Addresses()
        self._arrivals: Counter[str] = Counter()
        # Pods last seen on a lost node, in order of arrival; they are dealt with when it is found.
        self._unheard: dict[str, NodePod] = {}
        self._due: list[tuple[float, int, str, Due, int]] = []
        self._due_count = 0

    @property
    def next_due_s(self) -> float | None:
        """When ``due`` has something to do next, if nothing else happens."""
        return self._due[0][0] if self._due else None

    def used(self, node: str) -> Mapping[str, int]:
        """What the node's ledger has given out."""
        return dict(self._ledgers[node].used)

    def mischief_of(self, node: str) -> Mischief:
        """The node's own, its pool's and everybody's mischief together."""
        joined = GOOD
        for target in self._targets(node):
            joined = joined.joined(self._mischief.get(target, GOOD))
        return joined

    def replaced(self, pods: Iterable[NodePod], now_s: float) -> list[Instruction]:
        """A full list: pods not in it are gone; running ones are restored first, then the rest by arrival."""
        listed = {pod.uid: pod for pod in pods}
        wanted: list[Instruction] = []
        for uid in [uid for uid in (*self._tenants, *self._unheard) if uid not in listed]:
            wanted += self.gone(uid)
        for pod in sorted(listed.values(), key=_arrival):
            wanted += self.seen(pod, now_s)
        return wanted

    def seen(self, pod: NodePod, now_s: float) -> list[Instruction]:
        """A pod as the API server shows it now."""
        node = pod.spec.node_name
        if node not in self._nodes:
            return []
        if self.mischief_of(node).lost:
            self._unheard[pod.uid] = pod
            return []
        tenant = self._tenants.get(pod.uid)
        if tenant is not None:
            return list(self._changed(tenant, pod, now_s))
        return list(self._arrived(pod, now_s))

    def gone(self, uid: str) -> list[Instruction]:
        """The pod is no longer in the API: stop it and forget it."""
        self._unheard.pop(uid, None)
        tenant = self._tenants.pop(uid, None)
        if tenant is None:
            return []
        self._release(tenant)
        return [StopProcess(uid=uid, grace_s=0.0)] if tenant.has_process else []

    def exited(self, uid: str, code: int, now_s: float) -> None:
        """The pod's process ended; what follows comes out of ``due``."""
        self._schedule(now_s, uid, "exit", code)

    def due(self, now_s: float) -> list[Instruction]:
        """Everything whose time has come."""
        wanted: list[Instruction] = []
        while self._due and self._due[0][0] <= now_s:
            _, _, uid, what, code = heapq.heappop(self._due)
            tenant = self._tenants.get(uid)
            if tenant is None:
                continue
            if self.mischief_of(tenant.pod.spec.node_name).lost:
                self._schedule(now_s + _LOST_RETRY_S, uid, what, code)
                continue
            wanted += self._fallen_due(tenant, what, code, now_s)
        return wanted

    def misbehave(self, mischief: Mapping[str, Mischief], now_s: float) -> list[Instruction]:
        """Replace all mischief; what a lifted one held back is done now."""
        self._mischief = mischief
        wanted: list[Instruction] = []
        unheard, self._unheard = self._unheard, {}
        for pod in unheard.values():
            wanted += self.seen(pod, now_s)
        for tenant in list(self._tenants.values()):
            if tenant.pod.is_deleting:
                wanted += self.seen(tenant.pod, now_s)
        return wanted

    def _arrived(self, pod: NodePod, now_s: float) -> Iterator[Instruction]:
        if pod.is_finished or (pod.is_deleting and pod.status.phase != "Running"):
            tenant = self._tenants[pod.uid] = _Tenant(pod=pod, wish=_wish_or_none(pod), stage="finished")
            yield from self._delete(tenant, now_s)
        elif pod.status.phase == "Running":
            yield from self._restore(pod, now_s)
        else:
            yield from self._admit(pod, now_s)

    def _admit(self, pod: NodePod, now_s: float) -> Iterator[Instruction]:
        wish = self._decide(pod)
        if isinstance(wish, Denied):
            self.audit.rejected[wish.reason] += 1
            self._tenants[pod.uid] = _Tenant(pod=pod, wish=_NO_WISH, stage="finished")
            yield Reject(pod=pod, reason=wish.reason, message=wish.message)
            return
        self.audit.admitted += 1
        tenant = _Tenant(pod=pod, wish=wish, stage="starting", ip=self._addresses.take())
        self._tenants[pod.uid] = tenant
        delay_s = max(wish.mischief.delay_s, self.mischief_of(pod.spec.node_name).delay_s)
        if delay_s:
            self._schedule(now_s + delay_s, pod.uid, "start", 0)
        else:
            yield from self._start(tenant, now_s)

    def _decide(self, pod: NodePod) -> _Wish | Denied:
        node = pod.spec.node_name
        unlucky = False
        for target in self._targets(node):
            self._arrivals[target] += 1
            unlucky |= self._arrivals[target] in self._mischief.get(target, GOOD).reject_nth
        wish = _wish(pod)
        if isinstance(wish, Denied):
            return wish
        if unlucky:
            return Denied(reason="UnexpectedAdmissionError", message="Pod was rejected: told to misbehave")
        try:
            requests = pod_requests(pod)
        except BadQuantity as error:
            return Denied(reason="UnexpectedAdmissionError", message=f"Pod was rejected: {error}")
        return self._ledgers[node].admit(pod.uid, requests) or self._admit_devices(pod) or wish

    def _admit_devices(self, pod: NodePod) -> Denied | None:
        """The devices that the pod names, beside what it requests; what it took before goes back if not."""
        memory = self._memory(pod.spec.node_name)
        chooses = self.mischief_of(pod.spec.node_name).other_devices
        denied = None if memory is None else self.devices.admit(pod, memory, plugin_chooses=chooses)
        if denied is not None:
            self._ledgers[pod.spec.node_name].release(pod.uid)
        return denied

    def _restore(self, pod: NodePod, now_s: float) -> Iterator[Instruction]:
        """A pod an earlier actor admitted: count it whatever it asks, and let it run on from now."""
        try:
            self._ledgers[pod.spec.node_name].restore(pod.uid, pod_requests(pod))
            self.devices.admit(pod, self._memory(pod.spec.node_name) or {})
        except BadQuantity as error:
            yield Reject(pod=pod, reason="UnexpectedAdmissionError", message=f"Pod was rejected: {error}")
            return
        self.audit.restored += 1
        ip = self._addresses.keep(pod.status.pod_ip) or self._addresses.take()
        wish = _wish_or_none(pod)
        self._tenants[pod.uid] = _Tenant(pod=pod, wish=wish, stage="running", ip=ip, started_s=now_s)
        if pod.is_deleting:
            yield from self._delete(self._tenants[pod.uid], now_s)
        elif _wants_process(pod):
            # Its process died with the actor that started it.
            self._schedule(now_s, pod.uid, "exit", _KILLED)
        elif wish.run_s is not None:
            self._schedule(now_s + wish.run_s, pod.uid, "end", wish.exit_code)

    def _start(self, tenant: _Tenant, now_s: float) -> Iterator[Instruction]:
        pod = tenant.pod
        tenant.stage, tenant.started_s = "running", now_s
        if _wants_process(pod):
            tenant.has_process = True
            yield StartProcess(pod=pod, ip=tenant.ip)
        elif tenant.wish.run_s is not None:
            self._schedule(now_s + tenant.wish.run_s, pod.uid, "end", tenant.wish.exit_code)
        yield MarkRunning(pod=pod, ip=tenant.ip, started_s=now_s, restarts=tenant.restarts)

    def _changed(self, tenant: _Tenant, pod: NodePod, now_s: float) -> Iterator[Instruction]:
        tenant.pod = pod
        if pod.is_finished and tenant.stage != "finished" and not pod.is_deleting:
            # Somebody else ended it, as a pod garbage collector would.
            yield from self._stop_quietly(tenant)
        if pod.is_deleting:
            yield from self._delete(tenant, now_s)

    def _delete(self, tenant: _Tenant, now_s: float) -> Iterator[Instruction]:
        """Stop, announce the end, remove: each step once."""
        pod = tenant.pod
        if not pod.is_deleting or tenant.stage in ("stopping", "removing"):
            return
        if (
            tenant.wish.mischief.never_finish_deletion
            or self.mischief_of(pod.spec.node_name).never_finish_deletion
        ):
            return
        if tenant.has_process:
            tenant.stage = "stopping"
            grace_s = pod.metadata.deletion_grace_period_seconds
            yield StopProcess(uid=pod.uid, grace_s=30.0 if grace_s is None else float(grace_s))
            return
        if tenant.stage != "finished" and not pod.is_finished:
            yield self._finish(tenant, _KILLED, now_s)
        tenant.stage = "removing"
        self._release(tenant)
        self.audit.removed += 1
        yield Remove(pod=pod)

    def _stop_quietly(self, tenant: _Tenant) -> Iterator[Instruction]:
        self._release(tenant)
        tenant.stage = "finished"
        if tenant.has_process:
            tenant.has_process = False
            yield StopProcess(uid=tenant.pod.uid, grace_s=0.0)

    def _fallen_due(self, tenant: _Tenant, what: Due, code: int, now_s: float) -> Iterator[Instruction]:
        if what == "exit":
            yield from self._process_ended(tenant, code, now_s)
        elif what == "start" and tenant.stage == "starting":
            yield from self._start(tenant, now_s)
        elif what == "restart" and tenant.stage == "running":
            tenant.restarts += 1
            yield from self._start(tenant, now_s)
        elif what == "end" and tenant.stage == "running":
            yield self._finish(tenant, code, now_s)

    def _process_ended(self, tenant: _Tenant, code: int, now_s: float) -> Iterator[Instruction]:
        tenant.has_process = False
        if tenant.stage == "stopping":
            yield self._finish(tenant, code, now_s)
            yield from self._delete(tenant, now_s)
        elif tenant.stage == "running":
            policy = tenant.pod.spec.restart_policy
            if policy == "Always" or (policy == "OnFailure" and code != 0):
                backoff_s = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2 ** min(tenant.restarts, 16))
                self._schedule(now_s + backoff_s, tenant.pod.uid, "restart", 0)
            else:
                yield self._finish(tenant, code, now_s)

    def _finish(self, tenant: _Tenant, code: int, now_s: float) -> Instruction:
        ip = tenant.ip
        self._release(tenant)
        tenant.stage = "finished"
        self.audit.finished += 1
        return MarkFinished(
            pod=tenant.pod,
            ip=ip,
            exit_code=code,
            started_s=tenant.started_s or now_s,
            finished_s=now_s,
            restarts=tenant.restarts,
        )

    def _release(self, tenant: _Tenant) -> None:
        self._ledgers[tenant.pod.spec.node_name].release(tenant.pod.uid)
        self.devices.release(tenant.pod.spec.node_name, tenant.pod.uid)
        self._addresses.give_back(tenant.ip)
        tenant.ip = ""

    def _targets(self, node: str) -> tuple[str, str, str]:
        return node, f"pool/{self._nodes[node].pool}", EVERYWHERE

    def _schedule(self, at_s: float, uid: str, what: Due, code: int) -> None:
        self._due_count += 1
        heapq.heappush(self._due, (at_s, self._due_count, uid, what, code))


def _arrival(pod: NodePod) -> tuple[bool, int, str]:
    """Running pods first; then in the order of their last write, which for a pending pod is its binding."""
    version = pod.metadata.resource_version
    return pod.status.phase != "Running", int(version) if version.isdecimal() else 0, pod.uid


def _wants_process(pod: NodePod) -> bool:
    return pod.annotations.get(RUN_COMMAND) == "true"


def _wish_or_none(pod: NodePod) -> _Wish:
    wish = _wish(pod)
    return _NO_WISH if isinstance(wish, Denied) else wish


def _wish(pod: NodePod) -> _Wish | Denied:
    """The annotations, or the refusal that names the bad one."""
    misbehave = of_annotation(pod.annotations.get(ANNOTATION, ""))
    if isinstance(misbehave, str):
        return Denied(reason="InvalidAnnotation", message=misbehave)
    mischief, reject = misbehave
    if reject:
        return Denied(reason="UnexpectedAdmissionError", message="Pod was rejected: told to misbehave")
    text = pod.annotations.get(RUN_SECONDS, FOREVER)
    run_s = 0.0 if text == FOREVER else seconds_of(text)
    if run_s is None:
        return Denied(
            reason="InvalidAnnotation", message=f"{RUN_SECONDS}: {text[:64]!r} is not a number of seconds"
        )
    code = pod.annotations.get(EXIT_CODE, "0")
    if not (code.isascii() and code.isdecimal() and len(code) <= 3 and int(code) <= _EXIT_CODE_MOST):
        return Denied(reason="InvalidAnnotation", message=f"{EXIT_CODE}: {code[:64]!r} is not an exit code")
    return _Wish(mischief=mischief, run_s=run_s or None, exit_code=int(code))
