"""Makes and withdraws ProvisioningRequests as ``scheduler.provisioning`` decides, and tells how they stand.

Level-triggered: the requests that there are, and what they are for, are read from the API server at each
look. One name a Gang object, so neither a restart nor a lost answer makes a second one. Request and templates
are owned by the Gang object: what is left behind goes with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from scheduler.inventory import times
from scheduler.kube import wire
from scheduler.kube.client import Client
from scheduler.kube.transport import AlreadyExists, ApiError, ClusterError, Conflict, Forbidden, NotFound
from scheduler.live.claims import API_VERSION, Claim, ClaimBook, object_name
from scheduler.live.logs import logger, printable
from scheduler.live.pod_template import template_of
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.objects import Pod
from scheduler.model.plan import Plan, Snapshot, Verdict
from scheduler.provisioning import (
    SETS_MAX,
    Ask,
    ProvisioningPolicy,
    Request,
    Said,
    ask,
    is_lacking,
    name_of,
    noted,
    steps,
)

log = logger("provisioner")

GROUP_VERSION: Final = "autoscaling.x-k8s.io/v1"
RESOURCE: Final = "provisioningrequests"
ALL: Final = f"/apis/{GROUP_VERSION}/{RESOURCE}"
#: Label of every request of ours, and its annotation that says for what it asks.
OURS: Final = "stowplan.dev/provisioning"
MARK: Final = "stowplan.dev/asks"
LOOK_EVERY_S: Final = 2.0
#: Where the API is not served, or not to us, it may come.
PROBE_EVERY_S: Final = 30.0
#: A write that was refused is not tried again for this long.
HOLD_S: Final = 60.0
#: Requests made, and withdrawn, at one look; the next look goes on.
STEPS_MAX: Final = 20
TROUBLE_MAX: Final = 256


class _Listed(msgspec.Struct, frozen=True):
    items: tuple[wire.ProvisioningRequest, ...] = ()


class Provisioner:
    """``clock`` is monotonic, ``wall`` is not. ``may_act``: the lease is ours and every view is current."""

    def __init__(
        self,
        transport: Client,
        claims: ClaimBook,
        *,
        policy: ProvisioningPolicy | None,
        clock: Callable[[], float],
        wall: Callable[[], float],
        may_act: Callable[[], bool],
        write_timeout_s: float,
    ) -> None:
        self._transport = transport
        self._claims = claims
        self._policy = policy
        self._clock = clock
        self._wall = wall
        self._may_act = may_act
        self._timeout_s = write_timeout_s
        #: Gangs that lack capacity, and since when; None before the first plan.
        self._lacking: dict[GangKey, tuple[PendingGang, float]] | None = None
        #: Our requests by the Gang object's UID; None where there can be none.
        self._found: dict[str, Request] | None = None
        #: What was refused, by the Gang object's UID: until when it is left, and why.
        self._held: dict[str, tuple[float, str]] = {}
        self._unavailable = ""

    @property
    def is_on(self) -> bool:
        """Whether it asks for capacity, and so has to see each gang that lacks some."""
        return self._policy is not None

    def told(self, planned: Plan, snapshot: Snapshot) -> Plan:
        """The plan with what became of the requests in its verdicts; which gangs lack capacity is kept."""
        if self._policy is None:
            return planned
        by_key = {gang.key: gang for gang in snapshot.gangs}
        before, now_s = self._lacking or {}, self._clock()
        lacking: dict[GangKey, tuple[PendingGang, float]] = {}
        for verdict in planned.verdicts:
            gang = by_key[verdict.key]
            if is_lacking(verdict, gang):
                since_s = before[gang.key][1] if gang.key in before else now_s
                lacking[gang.key] = (gang, since_s)
        self._lacking = lacking
        if self._found is None or not lacking:
            return planned
        verdicts = (self._noted(v, self._found) if v.key in lacking else v for v in planned.verdicts)
        return replace(planned, verdicts=tuple(verdicts))

    async def run(self) -> None:
        """Look until cancelled; without a policy there is nothing to look for."""
        while self._policy is not None:
            await self._look(self._policy)
            await asyncio.sleep(PROBE_EVERY_S if self._unavailable else LOOK_EVERY_S)

    async def _look(self, policy: ProvisioningPolicy) -> None:
        if not self._may_act():
            return
        # As it was before the list: a gang that is placed meanwhile loses its request at the next look.
        lacking = self._lacking
        try:
            found = await self._list()
        except (NotFound, Forbidden) as error:
            self._leave(str(error))
            return
        except ClusterError as error:
            log.warning("ProvisioningRequests not listed", error=str(error)[:TROUBLE_MAX])
            return
        self._unavailable = ""
        # Whoever may make one in a namespace of theirs may name somebody else's Gang object in it.
        home = {claim.uid: claim.key.namespace for claim in self._claims.all()}
        found = [one for one in found if home.get(one.gang_uid, one.namespace) == one.namespace]
        self._found = {request.gang_uid: request for request in found}
        if lacking is None:
            return
        now_s = self._clock()
        self._held = {
            uid: held for uid, held in self._held.items() if held[0] > now_s and uid not in self._found
        }
        asks, owners, due = self._asks(lacking, policy, now_s)
        todo = steps(asks, due, found, policy, self._wall())
        for request in todo.withdrawn[:STEPS_MAX]:
            if self._may_act():
                await self._withdraw(request)
        for uid, one in todo.made[:STEPS_MAX]:
            await self._make(owners[uid], one, policy)

    def _asks(
        self, lacking: Mapping[GangKey, tuple[PendingGang, float]], policy: ProvisioningPolicy, now_s: float
    ) -> tuple[dict[str, Ask], dict[str, Claim], list[str]]:
        """What each gang would ask for, its Gang object, and who is due; all by the Gang object's UID."""
        asks: dict[str, Ask] = {}
        owners: dict[str, Claim] = {}
        due: list[str] = []
        for key, (gang, since_s) in lacking.items():
            claim = self._claims.get(key)
            if claim is None:
                continue
            one = ask(gang, policy)
            if one is None:
                self._hold(claim.uid, f"more than {SETS_MAX} kinds of pods; give pods of a role one shape")
                continue
            asks[claim.uid], owners[claim.uid] = one, claim
            if now_s - since_s >= policy.after_s and claim.uid not in self._held:
                due.append(claim.uid)
        return asks, owners, due

    def _noted(self, verdict: Verdict, found: Mapping[str, Request]) -> Verdict:
        claim = self._claims.get(verdict.key)
        uid = "" if claim is None else claim.uid
        _, trouble = self._held.get(uid, (0.0, ""))
        return noted(verdict, found.get(uid), self._wall(), trouble)

    async def _list(self) -> list[Request]:
        params = {"labelSelector": f"{OURS}=request"}
        listed = await self._transport.get(ALL, _Listed, params=params, timeout_s=self._timeout_s)
        return [request for one in listed.items if (request := _request_of(one)) is not None]

    async def _make(self, claim: Claim, one: Ask, policy: ProvisioningPolicy) -> None:
        name, namespace = name_of(claim.uid), claim.key.namespace
        templates = [f"{name}-{one.mark}-{index}" for index in range(len(one.sets))]
        try:
            for template, pod_set in zip(templates, one.sets, strict=True):
                body = await self._like(pod_set.pod)
                if body is None:
                    return  # The pod is gone, so the gang is another at the next look.
                made = {"apiVersion": "v1", "kind": "PodTemplate", "template": body}
                made["metadata"] = _metadata(template, claim, kind="template")
                with contextlib.suppress(AlreadyExists):  # Its name says what is in it.
                    await self._create(f"/api/v1/namespaces/{namespace}/podtemplates", made)
            await self._create(
                f"/apis/{GROUP_VERSION}/namespaces/{namespace}/{RESOURCE}",
                _request(claim, one, templates, policy),
            )
        except AlreadyExists:
            self._hold(claim.uid, f"{name} is there and is not stowplan's; delete it")
        except ApiError as error:
            if error.status == 429 or error.status >= 500:
                log.warning("a ProvisioningRequest was not made", gang=str(claim.key), status=error.status)
                return
            self._hold(claim.uid, str(error))
        except ClusterError as error:
            # Perhaps made after all: the next look sees it, and its name is taken.
            log.warning("a ProvisioningRequest may not be made", gang=str(claim.key), error=str(error)[:256])
        else:
            log.info("ProvisioningRequest made", gang=str(claim.key), name=name)

    async def _like(self, pod: Pod) -> dict[str, Any] | None:
        """The template for pods like this one; None where it is gone."""
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
        try:
            found = await self._transport.get(path, dict[str, Any], timeout_s=self._timeout_s)
        except NotFound:
            return None
        return template_of(found) if found["metadata"]["uid"] == pod.uid else None

    async def _create(self, path: str, body: dict[str, Any]) -> None:
        """Raises: ClusterError."""
        if not self._may_act():
            raise _TermOver(path)
        await self._transport.request("POST", path, body=msgspec.json.encode(body), timeout_s=self._timeout_s)

    async def _withdraw(self, request: Request) -> None:
        """Delete this very request and its templates; what stays of these goes with the Gang object."""
        place = f"namespaces/{request.namespace}"
        try:
            with contextlib.suppress(NotFound, Conflict):
                await self._transport.delete(
                    f"/apis/{GROUP_VERSION}/{place}/{RESOURCE}/{request.name}",
                    uid=request.uid,
                    timeout_s=self._timeout_s,
                )
            for template in request.templates:
                if template.startswith(f"{request.name}-") and self._may_act():
                    with contextlib.suppress(NotFound):
                        await self._transport.delete(
                            f"/api/v1/{place}/podtemplates/{template}", timeout_s=self._timeout_s
                        )
        except ClusterError as error:
            log.warning("a ProvisioningRequest was not withdrawn", name=request.name, error=str(error)[:256])
            return
        log.info("ProvisioningRequest withdrawn", name=request.name, namespace=request.namespace)

    def _hold(self, uid: str, why: str) -> None:
        if uid not in self._held:
            log.warning("no ProvisioningRequest", gang_uid=uid, why=why[:TROUBLE_MAX])
        self._held[uid] = (self._clock() + HOLD_S, printable(why, TROUBLE_MAX))

    def _leave(self, why: str) -> None:
        """Not served, or not to us: say so once and leave verdicts as they are."""
        if why != self._unavailable:
            log.warning("no ProvisioningRequests; `stowplan doctor` says more", why=why[:TROUBLE_MAX])
        self._unavailable, self._found = why, None


class _TermOver(ClusterError):
    """The lease is not ours any more, or a view is not current."""


def _metadata(name: str, claim: Claim, *, kind: str) -> dict[str, Any]:
    owner = {"apiVersion": API_VERSION, "kind": "Gang", "name": object_name(claim.key), "uid": claim.uid}
    return {
        "name": name,
        "namespace": claim.key.namespace,
        "labels": {OURS: kind},
        "ownerReferences": [owner],
    }


def _request(claim: Claim, one: Ask, templates: list[str], policy: ProvisioningPolicy) -> dict[str, Any]:
    metadata = _metadata(name_of(claim.uid), claim, kind="request")
    metadata["annotations"] = {MARK: one.mark}
    sets = [
        {"count": pod_set.count, "podTemplateRef": {"name": template}}
        for pod_set, template in zip(one.sets, templates, strict=True)
    ]
    spec: dict[str, Any] = {"provisioningClassName": policy.class_name, "podSets": sets}
    if policy.parameters:
        spec["parameters"] = dict(policy.parameters)
    return {"apiVersion": GROUP_VERSION, "kind": "ProvisioningRequest", "metadata": metadata, "spec": spec}


def _request_of(found: wire.ProvisioningRequest) -> Request | None:
    """None for somebody else's, whatever its labels: ours has its Gang object's UID in its name."""
    metadata = found.metadata
    for owner in metadata.owner_references or ():
        if (owner.api_version, owner.kind) == (API_VERSION, "Gang") and metadata.name == name_of(owner.uid):
            return Request(
                namespace=metadata.namespace,
                name=metadata.name,
                uid=metadata.uid,
                gang_uid=owner.uid,
                mark=(metadata.annotations or {}).get(MARK, ""),
                created_s=times.read(metadata.creation_timestamp) or 0.0,
                templates=tuple(one.pod_template_ref.name for one in found.spec.pod_sets),
                said={each.type: _said(each) for each in found.status.conditions or ()},
            )
    return None


def _said(condition: wire.Condition) -> Said:
    return Said(
        kind=condition.type,
        is_true=condition.status == "True",
        message=printable(condition.message or "", TROUBLE_MAX),
        since_s=times.read(condition.last_transition_time) or 0.0,
    )
