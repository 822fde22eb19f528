"""The only writer of claims and volumes: one compare-and-swap each, whose unknown outcome is read first.

What is written is kube-scheduler's own: the node for which a claim is to be provisioned, and the claim that a
volume is set aside for. Each carries the UID and version that it was decided on, so what was changed since,
or replaced under the same name, is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from scheduler.kube import wire
from scheduler.kube.client import MERGE_PATCH, Client
from scheduler.kube.errors import lacks_role
from scheduler.kube.transport import (
    ApiError,
    BadAnswer,
    ClusterError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    OutcomeUnknown,
)
from scheduler.live.storage_feeds import StorageFeeds
from scheduler.model.volumes import Claim, PersistentVolume
from scheduler.parse.volumes import SELECTED_NODE
from scheduler.volumes.provide import version

BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
BACKOFF_S = 0.5
REASON_MAX = 256


@dataclass(frozen=True, slots=True)
class Written:
    """It is so, as of this version of the object."""

    version: int


@dataclass(frozen=True, slots=True)
class Again:
    """Not written, or nobody knows and it was read since: decide anew from what is known, after a while."""

    after_s: float = BACKOFF_S


@dataclass(frozen=True, slots=True)
class Refused:
    """The same write would be refused again."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotOurs:
    """The lease is not ours to act under: nothing was sent."""


Outcome = Written | Again | Refused | NotOurs


class VolumeWriter:
    """Stateless but for what it shows to the state: every answer, whether of a write or of a read.

    may_act: asked right before each write leaves (INV5).
    """

    def __init__(
        self,
        transport: Client,
        feeds: StorageFeeds,
        *,
        may_act: Callable[[], bool],
        write_timeout_s: float,
    ) -> None:
        self._transport = transport
        self._feeds = feeds
        self._may_act = may_act
        self._timeout_s = write_timeout_s
        self._claim = msgspec.json.Decoder(wire.PersistentVolumeClaim)
        self._volume = msgspec.json.Decoder(wire.PersistentVolume)

    async def select(self, claim: Claim, node: str | None) -> Outcome:
        """Have the claim provisioned for the node; None withdraws what was asked."""
        patch = {"metadata": _precise(claim.uid, claim.resource_version, {SELECTED_NODE: node})}
        return await self._write(_claim_path(claim), patch, self._show_claim)

    async def take(self, volume: PersistentVolume, claim: Claim) -> Outcome:
        """Set the volume aside for the claim, as kube-scheduler does (``GetBindVolumeToClaim``)."""
        reference = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": claim.namespace,
            "name": claim.name,
            "uid": claim.uid,
            "resourceVersion": claim.resource_version,
        }
        words: dict[str, str | None] = {BOUND_BY_CONTROLLER: "yes"}
        patch = {
            "metadata": _precise(volume.uid, volume.resource_version, words),
            "spec": {"claimRef": reference},
        }
        return await self._write(f"/api/v1/persistentvolumes/{volume.name}", patch, self._show_volume)

    async def _write(self, path: str, patch: object, show: Callable[[bytes], int]) -> Outcome:
        if not self._may_act():
            return NotOurs()
        try:
            answer = await self._transport.request(
                "PATCH",
                path,
                body=msgspec.json.encode(patch),
                content_type=MERGE_PATCH,
                timeout_s=self._timeout_s,
            )
        except (Conflict, OutcomeUnknown, BadAnswer):
            # Somebody changed it, maybe we did: it is looked at before anything else is decided.
            return await self._read(path, show)
        except NotFound:
            return Refused("is gone")
        except (Forbidden, Invalid) as error:
            if lacks_role(error):
                return Again()
            return Refused(f"{error.status} {error.reason}: {error.message}"[:REASON_MAX])
        except ApiError as error:
            return Again(error.retry_after_s or BACKOFF_S)
        except ClusterError:
            return Again()
        return Written(show(answer))

    async def _read(self, path: str, show: Callable[[bytes], int]) -> Outcome:
        """Quorum-read what was to be written, until that is answered."""
        while True:
            try:
                show(await self._transport.request("GET", path, timeout_s=self._timeout_s))
            except NotFound:
                return Refused("is gone")
            except ClusterError:
                await asyncio.sleep(BACKOFF_S)
                continue
            return Again(0.0)

    def _show_claim(self, answer: bytes) -> int:
        found = self._claim.decode(answer)
        self._feeds.claims.answered(found)
        return version(found.metadata.resource_version)

    def _show_volume(self, answer: bytes) -> int:
        found = self._volume.decode(answer)
        self._feeds.volumes.answered(found)
        return version(found.metadata.resource_version)


def _precise(uid: str, resource_version: str, annotations: dict[str, str | None]) -> dict[str, object]:
    return {"uid": uid, "resourceVersion": resource_version, "annotations": annotations}


def _claim_path(claim: Claim) -> str:
    return f"/api/v1/namespaces/{claim.namespace}/persistentvolumeclaims/{claim.name}"
