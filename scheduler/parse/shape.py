"""From a pod's spec to its Shape. Equal specs are read once; equal shapes are one object.

``read_shape`` never fails: it gives the shape as far as it can be read, since a pod on a node counts
whatever it says, and the first fault, for which the pod must not be planned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import msgspec

from scheduler.kube import wire
from scheduler.model.devices import DeviceAsk
from scheduler.model.objects import Rejected, Shape, SpotWish, Volume
from scheduler.model.selection import Effect, HostPort, Selector, SpreadConstraint, Toleration
from scheduler.parse import selectors
from scheduler.parse.affinity import Affinities, Who, keys_of, label_keys, parse_affinity, parse_spread
from scheduler.parse.devices import Words, device_words, parse_ask
from scheduler.parse.refusal import Refusal, reject, shown
from scheduler.parse.requests import CONTAINERS_MAX, Asking, Requests, add_up
from scheduler.parse.resize import Granted, granted
from scheduler.parse.spot import SPOT, parse_spot

T = TypeVar("T")
Labels = tuple[tuple[str, str], ...]

TOLERATIONS_MAX = 128
SELECTOR_MAX = 100
VOLUMES_MAX = 256
PORTS_MAX = 256
NAME_MAX = 253

#: Specs whose reading is kept; a longer one is read anew each time, so that the memory is bounded.
READINGS_MAX = 4_096
KEPT_SPEC_MAX = 16 * 1024

EFFECTS: Mapping[str, Effect] = {e: e for e in ("NoSchedule", "PreferNoSchedule", "NoExecute")}
_PROTOCOLS = frozenset({"TCP", "UDP", "SCTP"})


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read of a spec, and the first thing wrong with it."""

    shape: Shape
    fault: Rejected | None


class Spec(wire.Wire, frozen=True, array_like=True):
    """The fields of a pod spec that decide its shape; encoded, they are the key of the reading."""

    containers: tuple[wire.Container, ...] | None
    init_containers: tuple[wire.Container, ...] | None
    overhead: dict[str, wire.Quantity] | None
    resources: wire.Resources | None
    node_selector: dict[str, str] | None
    tolerations: tuple[wire.Toleration, ...] | None
    volumes: tuple[wire.PodVolume, ...]
    resource_claims: tuple[wire.PodResourceClaim, ...] | None
    host_network: bool | None
    #: Annotations that ask something of devices.
    words: Words
    #: ``stowplan.dev/spot``, None where it is not given.
    spot: str | None
    granted: Granted | None
    host_users: bool | None


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Spec)


def read_shape(pod: wire.Pod, labels: Labels) -> Reading:
    """The shape of a pod whose labels, sorted, are ``labels``."""
    spec = pod.spec
    volumes = _claiming(spec.volumes)
    affinity, spread = bytes(spec.affinity), bytes(spec.topology_spread_constraints)
    read = Spec(
        spec.containers,
        spec.init_containers,
        spec.overhead,
        spec.resources,
        spec.node_selector,
        spec.tolerations,
        volumes,
        spec.resource_claims,
        spec.host_network,
        device_words(pod.metadata.annotations),
        (pod.metadata.annotations or {}).get(SPOT),
        granted(pod),
        spec.host_users,
    )
    # Labels and names differ from pod to pod: they are part of the key only where they matter.
    names_pods = bool(spread) or b"pod" in affinity or b"\\u" in affinity
    keys = label_keys(affinity, spread) if names_pods else frozenset()
    labels = tuple(item for item in labels if item[0] in keys)
    namespace = pod.metadata.namespace if names_pods or volumes else ""
    name = pod.metadata.name if any(v.ephemeral is not None for v in volumes) else ""
    key = _ENCODER.encode(read)
    if len(key) + len(affinity) + len(spread) > KEPT_SPEC_MAX:
        return _read(read, affinity, spread, namespace, labels, name)
    return _read_kept(key, affinity, spread, namespace, labels, name)


@lru_cache(maxsize=READINGS_MAX)
def _read_kept(
    key: bytes, affinity: bytes, spread: bytes, namespace: str, labels: Labels, name: str
) -> Reading:
    return _read(_DECODER.decode(key), affinity, spread, namespace, labels, name)


def _read(spec: Spec, affinity: bytes, spread: bytes, namespace: str, labels: Labels, name: str) -> Reading:
    reader = _Reader()
    containers, starters = spec.containers or (), spec.init_containers or ()
    who = Who(namespace=namespace, labels=dict(labels))
    requests = reader.requests(spec)
    terms = reader.affinities(affinity, who)
    spreads = reader.many(lambda: parse_spread(spread, who))
    claims = reader.many(lambda: parse_volumes(spec.volumes, name))
    own = _selectors_of(terms, spreads)
    keys = keys_of(own)
    shape = Shape(
        requests=requests,
        node_selector=reader.many(lambda: parse_node_selector(spec.node_selector or {})),
        node_terms=terms.node_terms,
        preferred_nodes=terms.preferred_nodes,
        tolerations=reader.many(lambda: parse_tolerations(spec.tolerations or ())),
        pod_affinity=terms.pod_affinity,
        pod_anti_affinity=terms.pod_anti_affinity,
        preferred_pods=terms.preferred_pods,
        preferred_anti_pods=terms.preferred_anti_pods,
        spread=spreads,
        host_ports=reader.many(lambda: parse_ports(containers, starters, bool(spec.host_network))),
        volumes=claims,
        namespace=namespace if own or claims else "",
        labels=tuple(item for item in labels if item[0] in keys),
        ask=reader.ask(spec.words, requests),
        spot=reader.spot(spec.spot),
        features=features_of(spec),
    )
    return Reading(_interned(shape), reader.fault)


@lru_cache(maxsize=2 * READINGS_MAX)
def _interned(shape: Shape) -> Shape:
    return shape


class _Reader:
    """Reads piece by piece and remembers the first fault."""

    def __init__(self) -> None:
        self.fault: Rejected | None = None

    def many(self, piece: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
        """What the piece reads, or nothing."""
        try:
            return piece()
        except Refusal as refusal:
            self.fault = self.fault or refusal.rejected
            return ()

    def affinities(self, raw: bytes, who: Who) -> Affinities:
        try:
            return parse_affinity(raw, who)
        except Refusal as refusal:
            self.fault = self.fault or refusal.rejected
            return Affinities()

    def ask(self, words: Words, requests: Requests) -> DeviceAsk | None:
        try:
            return parse_ask(words, requests)
        except Refusal as refusal:
            self.fault = self.fault or refusal.rejected
            return None

    def spot(self, word: str | None) -> SpotWish:
        try:
            return parse_spot(word)
        except Refusal as refusal:
            self.fault = self.fault or refusal.rejected
            return ""

    def requests(self, spec: Spec) -> Requests:
        containers, starters = spec.containers or (), spec.init_containers or ()
        if len(containers) + len(starters) > CONTAINERS_MAX:
            told = f"more than {CONTAINERS_MAX} containers in one pod: use more pods"
            self.fault = self.fault or reject("spec.containers", told)
        if spec.resource_claims:
            told = "stowplan does not place resource claims (DRA) yet: ask for devices under resources.limits"
            self.fault = self.fault or reject("spec.resourceClaims", told)
        requests, fault = add_up(
            Asking(
                containers=containers,
                init_containers=starters,
                overhead=spec.overhead,
                pod_level=spec.resources,
                granted=spec.granted,
            )
        )
        self.fault = self.fault or fault
        return requests


def features_of(spec: Spec) -> tuple[str, ...]:
    """What the pod needs its node's kubelet to declare (``nodedeclaredfeatures``, 1.37), sorted.

    Mount options of bind mounts, an alpha feature, are not read.
    """
    rules = [
        r
        for c in (*(spec.containers or ()), *(spec.init_containers or ()))
        for r in c.restart_policy_rules or ()
    ]
    asked = {
        "RestartAllContainersOnContainerExits": any(r.action == "RestartAllContainers" for r in rules),
        "UserNamespacesHostNetworkSupport": bool(spec.host_network) and spec.host_users is False,
    }
    return tuple(name for name, is_asked in asked.items() if is_asked)


def parse_node_selector(found: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """``spec.nodeSelector``, sorted. Raises Refusal."""
    selectors.bounded("spec.nodeSelector", tuple(found), SELECTOR_MAX)
    selectors.check_labels("spec.nodeSelector", found)
    return tuple(sorted(found.items()))


def parse_tolerations(found: Sequence[wire.Toleration]) -> tuple[Toleration, ...]:
    """``spec.tolerations``, sorted, an absent operator read as Equal. Raises Refusal."""
    items = selectors.bounded("spec.tolerations", found, TOLERATIONS_MAX)
    parsed = {_toleration(f"spec.tolerations[{i}]", item) for i, item in enumerate(items)}
    return tuple(sorted(parsed, key=lambda t: (t.key, t.operator, t.value, t.effect)))


def _toleration(field: str, found: wire.Toleration) -> Toleration:
    if found.key:
        selectors.check_key(f"{field}.key", found.key)
    if len(found.value) > NAME_MAX:
        raise Refusal(f"{field}.value", f"longer than {NAME_MAX} characters")
    if found.effect and found.effect not in EFFECTS:
        raise Refusal(f"{field}.effect", f"{shown(found.effect)} is unknown: use {', '.join(EFFECTS)}")
    effect = EFFECTS[found.effect] if found.effect else ""
    match found.operator:
        case "" | "Equal":
            return Toleration(key=found.key, operator="Equal", value=found.value, effect=effect)
        case "Exists":
            return Toleration(key=found.key, operator="Exists", value="", effect=effect)
        case "Gt":
            return Toleration(key=found.key, operator="Gt", value=found.value, effect=effect)
        case "Lt":
            return Toleration(key=found.key, operator="Lt", value=found.value, effect=effect)
        case other:
            raise Refusal(f"{field}.operator", f"{shown(other)} is unknown: use Equal or Exists")


def parse_ports(
    containers: Sequence[wire.Container], init_containers: Sequence[wire.Container], is_host_network: bool
) -> tuple[HostPort, ...]:
    """Host ports of containers and sidecars (``util.GetHostPorts``), sorted. Raises Refusal.

    With ``hostNetwork`` a container port is a host port, as the API server defaults it.
    """
    sidecars = [c for c in init_containers if c.restart_policy == "Always"]
    ports: set[HostPort] = set()
    for container in (*sidecars, *containers):
        for port in container.ports or ():
            number = port.host_port or (port.container_port if is_host_network else 0)
            if number:
                ports.add(_port(number, port))
    return tuple(
        sorted(
            selectors.bounded("spec.containers.ports", tuple(ports), PORTS_MAX),
            key=lambda p: (p.port, p.protocol, p.host_ip),
        )
    )


def _port(number: int, found: wire.Port) -> HostPort:
    field = "spec.containers.ports"
    if not 0 < number < 65_536:
        raise Refusal(f"{field}.hostPort", f"{number} is no port: use 1 to 65535")
    if found.protocol and found.protocol not in _PROTOCOLS:
        raise Refusal(
            f"{field}.protocol", f"{shown(found.protocol)} is unknown: use {', '.join(sorted(_PROTOCOLS))}"
        )
    if len(found.host_ip) > SELECTOR_MAX:
        raise Refusal(f"{field}.hostIP", "is no address")
    return HostPort(protocol=found.protocol or "TCP", host_ip=found.host_ip or "0.0.0.0", port=number)


def parse_volumes(found: Sequence[wire.PodVolume], pod_name: str) -> tuple[Volume, ...]:
    """Claims the pod mounts; an ephemeral volume's claim is named POD-VOLUME. Raises Refusal."""
    claims: dict[str, bool] = {}
    for volume in selectors.bounded("spec.volumes", found, VOLUMES_MAX):
        field = f"spec.volumes[{shown(volume.name)}]"
        if volume.persistent_volume_claim is not None:
            claim = volume.persistent_volume_claim.claim_name
        elif volume.ephemeral is not None:
            claim = f"{pod_name}-{volume.name}"
        else:
            raise Refusal(field, "a disk named directly is not supported: use a PersistentVolumeClaim")
        if not claim or len(claim) > NAME_MAX:
            raise Refusal(field, f"{shown(claim)} is no claim name")
        claims[claim] = claims.get(claim, False) or volume.ephemeral is not None
    return tuple(Volume(claim=claim, is_ephemeral=own) for claim, own in sorted(claims.items()))


def _claiming(volumes: Sequence[wire.PodVolume] | None) -> tuple[wire.PodVolume, ...]:
    """Volumes that can restrict nodes. The others may have a random name in every pod."""
    return tuple(
        v
        for v in volumes or ()
        if v.persistent_volume_claim is not None
        or v.ephemeral is not None
        or v.gce_persistent_disk is not None
        or v.aws_elastic_block_store is not None
        or v.iscsi is not None
        or v.rbd is not None
    )


def _selectors_of(terms: Affinities, spreads: Sequence[SpreadConstraint]) -> list[Selector | None]:
    """Every selector by which the pod looks at pods, itself included."""
    wishes = (*terms.preferred_pods, *terms.preferred_anti_pods)
    found = [term.selector for term in (*terms.pod_affinity, *terms.pod_anti_affinity)]
    return found + [wish.term.selector for wish in wishes] + [spread.selector for spread in spreads]
