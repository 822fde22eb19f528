"""What is true in a storm around devices: what happened to each board, and what the table says of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from scheduler.inventory.health import DEFAULT_POLICY, Severity, rule_of
from scheduler.inventory.scenario import Device, Link

_SEVERE: Final[frozenset[Severity]] = frozenset({"quarantine", "fatal"})
_UP: Final = Link()
_DOWN: Final = Link(active=False, type=None)
#: Of three links one is not connected by design.
LINKS: Final = (_UP, _UP, _DOWN)
PARTED: Final = (_UP, _DOWN, _DOWN)
#: Codes that say nothing of a device, calls that may answer so, XIDs, and how much time passes at a time.
NOBODY_KNOWS: Final = (999, 10, 17, 4, 7, 11, 20, 23, 27, 28)
CALLS: Final = (
    "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetRemappedRows",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGpuFabricInfoV",
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetSerial",
)
XIDS: Final = (13, 31, 43, 63, 94, 48, 95, 119, 79, 145, 149, 999)
PAUSES_S: Final = (5.0, 5.0, 5.0, 5.0, 70.0, 700.0, 7_000.0, 90_000.0, 200_000.0)
Mend = Literal["reset", "boot"]


@dataclass(slots=True)
class Trouble:
    """What the table names. over_s: when it ended or was mended; None while it holds or waits for that.

    is_seen_over: a level holds until a probe that could ask says otherwise.
    """

    kind: str
    start_s: float
    over_s: float | None = None
    is_seen_over: bool = False


@dataclass(slots=True)
class Board:
    """One GPU in its slot, and all that happened to it."""

    device: Device
    troubles: list[Trouble] = field(default_factory=list)
    #: Ends at this step: errors that say nothing, levels, foreign processes.
    until_step: int = 0
    #: Whether one of its links was down when that could be asked last, and when it was down last.
    was_parted: bool = False
    parted_s: float = -math.inf

    @property
    def uuid(self) -> str:
        return self.device.uuid

    def change(self, **fields: object) -> None:
        self.device = msgspec.structs.replace(self.device, **fields)

    def hit(self, kind: str, now_s: float, *, ends: bool = False) -> None:
        if rule_of(kind).severity in _SEVERE:
            waits = rule_of(kind).recovery != "clean" or ends
            self.troubles.append(Trouble(kind, now_s, None if waits else now_s))

    def mend(self, how: Mend, now_s: float) -> None:
        for trouble in self.troubles:
            wanted = rule_of(trouble.kind).recovery
            if trouble.over_s is None and (how == "boot" or wanted == how):
                trouble.over_s = now_s

    def asked(self, now_s: float) -> None:
        """A probe has looked, and was told or not."""
        if self.lacks_a_link or self.answers:
            self.was_parted = self.lacks_a_link
        if self.was_parted:
            self.parted_s = now_s
        for trouble in self.troubles:
            if trouble.over_s is not None and not trouble.is_seen_over:
                trouble.is_seen_over = not self.device.fail
                if self.device.fail and not trouble.kind.startswith("xid-"):
                    trouble.over_s = now_s

    def out_until_s(self) -> float:
        """The longest that the table lets it be out for what happened to it."""
        hold_s = min(DEFAULT_POLICY.clean_s * 2.0 ** len(self.troubles), DEFAULT_POLICY.clean_max_s)
        ends = [float("inf") if t.over_s is None else t.over_s + hold_s for t in self.troubles]
        return max(ends, default=0.0)

    @property
    def answers(self) -> bool:
        return not self.device.fail and not self.device.lost

    @property
    def is_cut(self) -> bool:
        return self.device.mig is not None and self.device.mig.enabled

    @property
    def lacks_a_link(self) -> bool:
        """A link that is not there by design lacks nobody."""
        return self.device.links == PARTED

    def is_apart(self, now_s: float) -> bool:
        """Whether the table takes it from its neighbours: while it is out, and after a link was down."""
        return now_s <= max(self.out_until_s(), self.parted_s + DEFAULT_POLICY.clean_s)

    def has_fatal_evidence(self, now_s: float) -> bool:
        return now_s <= self.out_until_s() and any(
            rule_of(trouble.kind).severity == "fatal" for trouble in self.troubles
        )


@dataclass(slots=True, kw_only=True)
class Outcome:
    """Of one storm. story: what happened, step by step."""

    wrong_evictions: int = 0
    wrong_bindings: int = 0
    lost_device_s: float = 0.0
    failed_writes: int = 0
    #: Devices that are told and are nobody's any more.
    ghosts: int = 0
    #: Neighbours over NVLink that are told apart, or told as such while a link is down.
    wrong_islands: int = 0
    #: Models and counts by model that change with who tells of them; words; domains that are none.
    wrong_models: int = 0
    wrong_words: int = 0
    wrong_domains: int = 0
    evictions: int = 0
    probes: int = 0
    story: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        wrong = self.wrong_evictions + self.wrong_bindings + self.wrong_islands
        wrong += self.wrong_models + self.wrong_words + self.wrong_domains
        return not wrong and not self.failed_writes and not self.ghosts and not self.lost_device_s
