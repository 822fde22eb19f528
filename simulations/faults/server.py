"""The API server of a storm: what a kube-apiserver answers to a scheduler, refusals included.

What it does was learnt from kube-apiserver 1.37 (docs/decisions/0002) and its sources
(``pkg/registry/core/pod/storage``): a Binding is refused for another UID or version, a pod that has a node,
leaves or is gated, and asks nothing about capacity.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec

from simulations.faults.budgets import BUDGETS, Budgets
from simulations.faults.store import Collection, Json, Key, Store, Stored, wall

CORE: Final = "/api/v1"
PODS: Final = f"{CORE}/pods"
NODES: Final = f"{CORE}/nodes"
NAMESPACES: Final = f"{CORE}/namespaces"
LEASES: Final = "/apis/coordination.k8s.io/v1/leases"
EVENTS: Final = "/apis/events.k8s.io/v1/events"
GANGS: Final = "/apis/stowplan.dev/v1alpha1/gangs"
GPU_NODES: Final = "/apis/stowplan.dev/v1alpha1/gpunodes"
DEVICE_CLASSES: Final = "/apis/resource.k8s.io/v1/deviceclasses"
RESOURCE_CLAIMS: Final = "/apis/resource.k8s.io/v1/resourceclaims"
RESOURCE_SLICES: Final = "/apis/resource.k8s.io/v1/resourceslices"
TEAM_QUOTAS: Final = "/apis/stowplan.dev/v1alpha1/teamquotas"
JOBS: Final = "/apis/batch/v1/jobs"
NATIVE_GROUPS: Final = "/apis/scheduling.k8s.io/v1beta1/podgroups"
COSCHEDULING_GROUPS: Final = "/apis/scheduling.x-k8s.io/v1alpha1/podgroups"
SERVED: Final = (
    PODS,
    NODES,
    NAMESPACES,
    LEASES,
    EVENTS,
    GANGS,
    GPU_NODES,
    DEVICE_CLASSES,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
    TEAM_QUOTAS,
    JOBS,
    NATIVE_GROUPS,
    COSCHEDULING_GROUPS,
    BUDGETS,
    f"{CORE}/persistentvolumeclaims",
    f"{CORE}/persistentvolumes",
    "/apis/storage.k8s.io/v1/storageclasses",
    "/apis/storage.k8s.io/v1/csinodes",
    "/apis/storage.k8s.io/v1/csidrivers",
    "/apis/storage.k8s.io/v1/csistoragecapacities",
)
EPOCH: Final = "stowplan.dev/epoch"
LEASE: Final[Key] = ("stowplan-system", "stowplan")
FENCE_SAYS: Final = (
    "denied request: stowplan epoch fence: the annotation stowplan.dev/epoch does not name the term"
)
_PATH = re.compile(
    r"^(?P<base>/(?:api|apis/[^/]+)/[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<resource>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<part>[^/]+))?$"
)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names; ``part`` is the subresource."""

    collection: str
    namespace: str
    name: str
    part: str

    @property
    def key(self) -> Key:
        return (self.namespace, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request."""

    method: str
    target: Target
    body: bytes
    is_dry: bool = False

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def is_binding(self) -> bool:
        return self.target.part == "binding" and not self.is_dry

    def __str__(self) -> str:
        target = self.target
        resource = target.collection.rpartition("/")[2]
        return f"{self.method} {resource}/{target.name}{'/' if target.part else ''}{target.part}"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    retry_after: str | None = None


class Refused(Exception):
    """An error answer of the API server."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.answer = refusal(status, reason, message)


def refusal(status: int, reason: str, message: str, *, retry_after_s: int | None = None) -> Answer:
    """An error as the API server words it."""
    told = {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message}
    return Answer(status, _encode(told), None if retry_after_s is None else str(retry_after_s))


@lru_cache(maxsize=4096)
def target_of(path: str) -> Target:
    """Raises: Refused."""
    found = _PATH.match(path)
    if found is None:
        raise Refused(404, "NotFound", f"no such path: {path}")
    collection = f"{found['base']}/{found['resource']}"
    return Target(collection, found["namespace"] or "", found["name"] or "", found["part"] or "")


class Server:
    """is_fenced: whether the admission policy is installed. term: the epoch that its copy of the Lease says.

    may_evict: what else may refuse an eviction beside disruption budgets. sheds: the requests for which the
    API server is too busy. forgets: whether an eviction that landed is answered as if nobody
    knew. clock: virtual seconds.
    """

    def __init__(self, store: Store, clock: Callable[[], float], *, is_fenced: bool) -> None:
        self.store = store
        self.term: int | None = None
        #: Types that nobody is allowed to read.
        self.forbidden: frozenset[str] = frozenset()
        self.may_evict: Callable[[Json], bool] = lambda pod: True
        self.sheds: Callable[[Call], bool] = lambda call: False
        self.forgets: Callable[[], bool] = lambda: False
        self.budgets = Budgets(store, clock)
        self._clock = clock
        self._is_fenced = is_fenced
        self._ways: Mapping[tuple[str, str], Callable[[Call, Collection], Answer]] = {
            ("GET", ""): self._get,
            ("POST", ""): self._create,
            ("POST", "binding"): self._bind,
            ("POST", "eviction"): self._evict,
            ("PATCH", ""): self._patch,
            ("PATCH", "status"): self._patch,
            ("PUT", ""): self._replace,
            ("DELETE", ""): self._delete,
        }

    def answer(self, call: Call) -> Answer:
        """Carry out a request, now."""
        collection = self.store.find(call.target.collection)
        way = self._ways.get((call.method, call.target.part))
        if collection is None or way is None:
            return refusal(404, "NotFound", "the server could not find the requested resource")
        if self.sheds(call):
            return refusal(429, "TooManyRequests", "too many requests, please try again", retry_after_s=1)
        if collection.path in self.forbidden:
            return refusal(403, "Forbidden", "no role allows this")
        try:
            return way(call, collection)
        except Refused as refused:
            return refused.answer

    # -- reading -----------------------------------------------------------------------------------

    def _get(self, call: Call, collection: Collection) -> Answer:
        if call.target.name:
            return Answer(200, self._found(collection, call.target.key).raw)
        namespace = call.target.namespace
        found = (at.raw for key, at in collection.objects.items() if not namespace or key[0] == namespace)
        head = b'{"metadata":{"resourceVersion":"%d"},"items":[' % self.store.revision
        return Answer(200, head + b",".join(found) + b"]}")

    def _found(self, collection: Collection, key: Key) -> Stored:
        found = collection.objects.get(key)
        if found is None:
            raise Refused(404, "NotFound", f'{collection.path.rpartition("/")[2]} "{key[1]}" not found')
        return found

    # -- writing -----------------------------------------------------------------------------------

    def _create(self, call: Call, collection: Collection) -> Answer:
        body: Json = _decode(call.body)
        meta = body["metadata"]
        if call.target.namespace:
            meta["namespace"] = call.target.namespace
        key = (meta.get("namespace", ""), meta["name"])
        if key in collection.objects:
            raise Refused(409, "AlreadyExists", f'"{key[1]}" already exists')
        if collection.path == GANGS:
            body.pop("status", None)
        return Answer(201, self.store.create(collection.path, body).raw)

    def _bind(self, call: Call, collection: Collection) -> Answer:
        body: Json = _decode(call.body)
        meta = body["metadata"]
        self._fence(call, meta)
        pod = self._found(collection, call.target.key).read()
        have = pod["metadata"]
        for field in ("uid", "resourceVersion"):
            if meta.get(field) and meta[field] != have[field]:
                raise Refused(409, "Conflict", f"Precondition failed: {field} in precondition: {meta[field]}")
        if have.get("deletionTimestamp"):
            raise Refused(
                409, "Conflict", f"pod {have['name']} is being deleted, cannot be assigned to a host"
            )
        if pod["spec"].get("nodeName"):
            node = pod["spec"]["nodeName"]
            raise Refused(409, "Conflict", f"pod {have['name']} is already assigned to node {node!r}")
        if pod["spec"].get("schedulingGates"):
            raise Refused(409, "Conflict", f"pod {have['name']} has non-empty .spec.schedulingGates")
        if not call.is_dry:
            self.assign(call.target.key, body["target"]["name"], meta.get("annotations") or {})
        return Answer(201, _encode({"kind": "Status", "status": "Success", "code": 201}))

    def assign(self, key: Key, node: str, words: Mapping[str, str] = {}) -> None:
        """The pod gets its node, the Binding's annotations, and a note of when that was.

        As ``assignPod`` of ``pkg/registry/core/pod/storage/storage.go`` (1.37).
        """
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": wall(self._clock())}

        def edit(pod: Json) -> None:
            pod["spec"]["nodeName"] = node
            if words:
                pod["metadata"].setdefault("annotations", {}).update(words)
            set_condition(pod, scheduled)

        self.store.change(PODS, key, edit)

    def _evict(self, call: Call, collection: Collection) -> Answer:
        body: Json = _decode(call.body)
        self._fence(call, body["metadata"])
        found = self._found(collection, call.target.key)
        asked = ((body.get("deleteOptions") or {}).get("preconditions") or {}).get("uid")
        if asked and asked != found.uid:
            raise Refused(409, "Conflict", f"Precondition failed: UID in precondition: {asked}")
        pod = found.read()
        deleting = bool(pod["metadata"].get("deletionTimestamp"))
        if not self.may_evict(pod) or not (deleting or self.budgets.take(pod)):
            told = "Cannot evict pod as it would violate the pod's disruption budget."
            return refusal(429, "TooManyRequests", told, retry_after_s=1)
        if not pod["metadata"].get("deletionTimestamp"):
            disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
            self.store.change(PODS, call.target.key, lambda pod: set_condition(pod, disrupted))
            self.leave(call.target.key)
            if self.forgets():
                return refusal(504, "Timeout", "the request did not complete within the allotted time")
        return Answer(201, _encode({"kind": "Status", "status": "Success", "code": 201}))

    def leave(self, key: Key) -> None:
        """A pod is deleted: at once where no kubelet has to stop it."""
        found = self.store.at(PODS).objects.get(key)
        if found is None:
            return
        pod = found.read()
        is_over = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
        if (
            is_over
            or not pod["spec"].get("nodeName")
            or pod["spec"].get("terminationGracePeriodSeconds") == 0
        ):
            self.store.remove(PODS, key)
        elif not pod["metadata"].get("deletionTimestamp"):
            grace_s = float(pod["spec"].get("terminationGracePeriodSeconds", 30))
            until = wall(self._clock() + grace_s)
            self.store.change(PODS, key, lambda pod: pod["metadata"].update(deletionTimestamp=until))

    def _fence(self, call: Call, meta: Json) -> None:
        """deploy/admission/epoch-fence.yaml: without a Lease everything passes."""
        if not self._is_fenced or self.term is None:
            return
        if (meta.get("annotations") or {}).get(EPOCH) != str(self.term):
            raise Refused(403, "Forbidden", f'pods "{call.target.name}" is forbidden: {FENCE_SAYS}')

    def _patch(self, call: Call, collection: Collection) -> Answer:
        patch: Json = _decode(call.body)
        found = self._found(collection, call.target.key)
        meta = patch.pop("metadata", None) or {}
        for field, have in (("uid", found.uid), ("resourceVersion", str(found.revision))):
            if meta.get(field) and meta.pop(field) != have:
                raise Refused(409, "Conflict", "the object has been modified; please apply your changes")
        if call.target.part:
            patch = {"status": patch.get("status") or {}}
        elif meta:
            patch["metadata"] = meta
        is_pod = collection.path == PODS
        after = self.store.change(
            collection.path,
            call.target.key,
            lambda body: merge_pod(body, patch) if is_pod else merge(body, patch),
        )
        return Answer(200, after.raw if after is not None else b"")

    def _replace(self, call: Call, collection: Collection) -> Answer:
        body: Json = _decode(call.body)
        found = self._found(collection, call.target.key)
        meta = body["metadata"]
        for field, have in (("uid", found.uid), ("resourceVersion", str(found.revision))):
            if meta.get(field) and meta[field] != have:
                raise Refused(409, "Conflict", "the object has been modified; please apply your changes")
        after = self.store.change(collection.path, call.target.key, lambda at: at.update(spec=body["spec"]))
        return Answer(200, after.raw if after is not None else b"")

    def _delete(self, call: Call, collection: Collection) -> Answer:
        options: Json = _decode(call.body) if call.body else {}
        found = self._found(collection, call.target.key)
        asked = (options.get("preconditions") or {}).get("uid")
        if asked and asked != found.uid:
            raise Refused(409, "Conflict", f"Precondition failed: UID in precondition: {asked}")
        self.store.remove(collection.path, call.target.key)
        return Answer(200, _encode({"kind": "Status", "status": "Success"}))


def merge(body: Json, patch: Json) -> None:
    """RFC 7386, in place: null removes."""
    for name, value in patch.items():
        if value is None:
            body.pop(name, None)
        elif isinstance(value, dict):
            held = body.get(name)
            if not isinstance(held, dict):
                held = body[name] = {}
            merge(held, value)
        else:
            body[name] = value


def merge_pod(pod: Json, patch: Json) -> None:
    """A strategic merge of what is patched here: conditions are merged by their type."""
    conditions = (patch.get("status") or {}).pop("conditions", ())
    merge(pod, patch)
    for condition in conditions:
        set_condition(pod, condition)


def set_condition(pod: Json, condition: Json) -> None:
    """Add a condition, or change that of its type."""
    found: list[Json] = pod.setdefault("status", {}).setdefault("conditions", [])
    for known in found:
        if known["type"] == condition["type"]:
            if condition["status"] != known["status"]:
                for word in ("reason", "message"):
                    known.pop(word, None)
            known.update(condition)
            return
    found.append(dict(condition))
