"""The health table: what each sign of trouble means for new bindings and for the gang on the device.

Severity and recovery of XIDs follow NVIDIA's own operator for unhealthy nodes
(NVIDIA/NVSentinel: charts/gpu-health-monitor/xiderrorsmapping.csv); application errors are joined with
those that NVIDIA's DRA driver ignores (kubernetes-sigs/dra-driver-nvidia-gpu: device_health.go).
The two disagree on 109, so it is policy, by default as NVSentinel has it. XIDs that are not listed put the
device into quarantine and are named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

#: ignore: an application's error. note: recorded, capacity stays. quarantine: no new binding, what runs
#: stays. fatal: no new binding, and the gang on the device is replaced once, as a whole.
Severity = Literal["ignore", "note", "quarantine", "fatal"]
#: What must have happened before the clean period counts: nothing, a reset of the device, a boot of the node.
Recovery = Literal["clean", "reset", "boot"]
#: island: the device's NVLink neighbours too are unfit for gangs that need NVLink.
Scope = Literal["device", "island"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of the table. ``clear``: what an admin does about it."""

    kind: str
    severity: Severity
    recovery: Recovery = "clean"
    scope: Scope = "device"
    meaning: str
    clear: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPolicy:
    """Times in seconds.

    A device is out until ``clean_s`` after its last sign (and after its reset or boot, where the table asks
    for one). Each further outage that begins within ``repeat_window_s`` doubles that, up to ``clean_max_s``.
    ``severities`` overrides the table by kind, such as ``{"xid-109": "ignore"}``.
    """

    clean_s: float = 600.0
    clean_max_s: float = 86_400.0
    repeat_window_s: float = 86_400.0
    unknown: Severity = "quarantine"
    severities: Mapping[str, Severity] = field(default_factory=dict)


DEFAULT_POLICY = HealthPolicy()

_RESET = "nvidia-smi --gpu-reset -i INDEX once the device is idle, or reload the driver"
_REBOOT = "power-cycle the node; if it comes back, replace the board"
_REPLACE = "replace the board"

_APPLICATION = (
    *(8, 11, 13, 14, 25, 31, 32, 37, 38, 39, 40, 41, 43, 44, 45, 60, 66, 67, 68, 69, 70, 71, 72, 75, 76, 77),
    *(80, 82, 83, 84, 85, 86, 88, 89, *range(96, 108), *range(126, 136), 139),
)
_NOTED = {
    63: "row remap or page retirement recorded",
    92: "high rate of corrected memory errors",
    93: "InfoROM erase limit exceeded",
    94: "contained memory error: only the process that met it ends",
    121: "corrected chip-to-chip link error",
    137: "NVLink privilege error of an application",
    141: "fast path error",
    152: "DLA address translation error",
    153: "DLA timeout",
    154: "recovery action changed; the error that caused it counts",
    157: "resource retirement failed",
    159: "chip-to-chip error without data loss",
    161: "channel retirement failed",
}
_RESET_WANTED = {
    46: "the GPU stopped processing",
    48: "double-bit memory error",
    62: "the power controller halted",
    64: "row remap or page retirement failed",
    95: "uncontained memory error: every process on the GPU is suspect",
    110: "security fault",
    119: "the GPU's system processor does not answer",
    120: "the GPU's system processor failed",
    140: "uncorrected memory error",
    143: "the GPU did not initialise",
    156: "a resource was retired",
    158: "the GPU timed out",
    162: "the GPU asks for a reset",
}
_LINKS = {
    74: "NVLink error",
    136: "NVLink training failed",
    **dict.fromkeys(range(144, 151), "NVLink error of the fifth generation"),
    155: "NVLink error told by software",
}
_BOOT_WANTED = {
    79: "the GPU has fallen off the bus",
    151: "key rotation failed",
    160: "a memory channel was retired",
}

_LEVELS = (
    Rule(
        kind="lost", severity="fatal", recovery="boot", meaning="the GPU is lost to the driver", clear=_REBOOT
    ),
    Rule(
        kind="missing",
        severity="fatal",
        recovery="boot",
        meaning="a GPU that was here is no longer listed",
        clear=_REBOOT,
    ),
    Rule(
        kind="reset-required",
        severity="fatal",
        recovery="reset",
        meaning="the driver asks for a reset",
        clear=_RESET,
    ),
    Rule(
        kind="remap-failure",
        severity="fatal",
        recovery="reset",
        meaning="no spare row is left to remap to",
        clear=_REPLACE,
    ),
    Rule(
        kind="double-bit-ecc",
        severity="fatal",
        recovery="reset",
        meaning="double-bit memory error",
        clear=_RESET,
    ),
    Rule(
        kind="fatal-poison",
        severity="fatal",
        recovery="reset",
        meaning="poisoned data was consumed",
        clear=_RESET,
    ),
    Rule(
        kind="unavailable",
        severity="fatal",
        recovery="reset",
        meaning="the driver took the GPU out of use",
        clear=_RESET,
    ),
    Rule(kind="unreadable", severity="quarantine", meaning="the GPU does not tell what it is", clear=_RESET),
    Rule(kind="remap-pending", severity="quarantine", meaning="a row remap waits for a reset", clear=_RESET),
    Rule(
        kind="retired-pending",
        severity="quarantine",
        meaning="a page retirement waits for a reset",
        clear=_RESET,
    ),
    Rule(kind="repair-pending", severity="quarantine", meaning="a repair waits for a reset", clear=_RESET),
    Rule(
        kind="sram-threshold",
        severity="quarantine",
        meaning="more SRAM errors than NVIDIA tolerates",
        clear=_REPLACE,
    ),
    Rule(
        kind="fabric-unready",
        severity="quarantine",
        meaning="the fabric manager has not finished with this GPU",
        clear="systemctl restart nvidia-fabricmanager",
    ),
    Rule(
        kind="fabric-unhealthy",
        severity="quarantine",
        scope="island",
        meaning="the NVLink fabric is unhealthy",
        clear="systemctl restart nvidia-fabricmanager; then reset every GPU of the node together",
    ),
    Rule(
        kind="nvlink-down",
        severity="note",
        scope="island",
        meaning="some NVLinks are down: no gang that needs NVLink",
        clear=_RESET,
    ),
)


def xid(number: int) -> str:
    """The kind of an XID."""
    return f"xid-{number}"


def _xids() -> Iterator[Rule]:
    for number in _APPLICATION:
        yield Rule(kind=xid(number), severity="ignore", meaning="an application's own error")
    for number, meaning in _NOTED.items():
        yield Rule(kind=xid(number), severity="note", meaning=meaning, clear="nothing to do")
    for number, meaning in _RESET_WANTED.items():
        yield Rule(kind=xid(number), severity="fatal", recovery="reset", meaning=meaning, clear=_RESET)
    for number, meaning in _LINKS.items():
        yield Rule(
            kind=xid(number),
            severity="fatal",
            recovery="reset",
            scope="island",
            meaning=meaning,
            clear="reset every GPU of the node together",
        )
    for number, meaning in _BOOT_WANTED.items():
        yield Rule(kind=xid(number), severity="fatal", recovery="boot", meaning=meaning, clear=_REBOOT)
    yield Rule(
        kind=xid(109),
        severity="fatal",
        recovery="reset",
        meaning="context switch timed out (policy: NVIDIA's own tools disagree)",
        clear=_RESET,
    )


#: Kind to rule.
TABLE: Mapping[str, Rule] = {rule.kind: rule for rule in (*_xids(), *_LEVELS)}


def rule_of(kind: str, policy: HealthPolicy = DEFAULT_POLICY) -> Rule:
    """What the kind means under the policy; unlisted kinds get the policy's ``unknown`` severity."""
    rule = TABLE.get(kind) or Rule(
        kind=kind,
        severity=policy.unknown,
        meaning="not in the health table",
        clear="look it up in NVIDIA's XID catalogue; then set its severity in the policy",
    )
    severity = policy.severities.get(kind, rule.severity)
    if severity == rule.severity:
        return rule
    return Rule(
        kind=kind,
        severity=severity,
        recovery=rule.recovery,
        scope=rule.scope,
        meaning=rule.meaning,
        clear=rule.clear,
    )
