"""The health table: what each sign of trouble means for new bindings and for the gang on the device.

Each rule names its source. The two lists of XIDs disagree on 109, so it is policy, by default as NVSentinel
has it. XIDs that are not listed put the device into quarantine and are named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

#: ignore: an application's error. note: recorded, capacity stays. unknown: no new binding as long as the
#: device could not be asked, what runs stays, nothing is held against it later. quarantine: no new binding,
#: what runs stays. fatal: no new binding, and the gang on the device is replaced once, as a whole.
Severity = Literal["ignore", "note", "unknown", "quarantine", "fatal"]
#: What must have happened before the clean period counts: nothing, a reset of the device, a boot of the node.
Recovery = Literal["clean", "reset", "boot"]
#: island: the device's NVLink neighbours too are unfit for gangs that need NVLink.
Scope = Literal["device", "island"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of the table. ``clear``: what an admin does about it. ``source``: who says so.

    ``is_graded``: the driver's recovery action, asked right after, tells whether it was harmless; then its
    kind ends in NONFATAL.
    """

    kind: str
    severity: Severity
    recovery: Recovery = "clean"
    scope: Scope = "device"
    meaning: str
    clear: str = ""
    source: str = ""
    is_graded: bool = False


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

#: Severity by XID: NVIDIA/NVSentinel, charts/gpu-health-monitor/xiderrorsmapping.csv.
NVSENTINEL = "NVSentinel"
#: The XIDs that NVIDIA's DRA driver takes for applications' own: kubernetes-sigs/dra-driver-nvidia-gpu,
#: device_health.go.
DRA_DRIVER = "DRA driver"
#: docs.nvidia.com/deploy/xid-errors: what an XID means and what to do about it.
CATALOGUE = "XID catalogue"
#: docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt: remapped rows, retirement, and the recovery action.
MEMORY_GUIDE = "memory error guide"
#: The header of NVML 13.
NVML_H = "nvml.h"
#: Nobody says so; it is stowplan's own caution.
OWN = "stowplan"
#: The end of a kind that the driver said is harmless.
NONFATAL = "-nonfatal"

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
    155: "NVLink error told by software",
}
_BOOT_WANTED = {
    79: "the GPU has fallen off the bus",
    151: "key rotation failed",
    160: "a memory channel was retired",
}

_FIFTH_GENERATION = {
    144: "SAW",
    145: "RLW",
    146: "TLW",
    147: "TREX",
    148: "NVLPW",
    149: "NETIR",
    150: "MSE",
}
_FABRIC = "systemctl restart nvidia-fabricmanager"

_LEVELS = (
    Rule(
        kind="lost",
        severity="fatal",
        recovery="boot",
        meaning="NVML answered that the GPU is lost",
        clear=_REBOOT,
        source=NVML_H,
    ),
    Rule(
        kind="missing",
        severity="fatal",
        recovery="boot",
        meaning="a GPU that was here in this boot is no longer listed",
        clear=_REBOOT,
        source=OWN,
    ),
    Rule(
        kind="reset-required",
        severity="fatal",
        recovery="reset",
        meaning="NVML answered that the GPU requires a reset",
        clear=_RESET,
        source=NVML_H,
    ),
    Rule(
        kind="remap-failure",
        severity="fatal",
        recovery="reset",
        meaning="no spare row is left to remap to",
        clear=_REPLACE,
        source=MEMORY_GUIDE,
    ),
    Rule(
        kind="double-bit-ecc",
        severity="fatal",
        recovery="reset",
        meaning="double-bit memory error",
        clear=_RESET,
        source=NVML_H,
    ),
    Rule(
        kind="fatal-poison",
        severity="fatal",
        recovery="reset",
        meaning="poisoned data was consumed",
        clear=_RESET,
        source=NVML_H,
    ),
    Rule(
        kind="unavailable",
        severity="fatal",
        recovery="reset",
        meaning="the driver took the GPU out of use",
        clear=_RESET,
        source=NVML_H,
    ),
    Rule(
        kind="recovery-reset",
        severity="fatal",
        meaning="the driver asks for a reset of the GPU",
        clear=_RESET,
        source=MEMORY_GUIDE,
    ),
    Rule(
        kind="recovery-reboot",
        severity="fatal",
        meaning="the driver asks for a reboot of the node",
        clear="reboot the node",
        source=MEMORY_GUIDE,
    ),
    Rule(
        kind="recovery-drain-p2p",
        severity="fatal",
        scope="island",
        meaning="the driver asks for all peer-to-peer traffic to end",
        clear="end all processes that use peers of this GPU; the driver then says what else it wants",
        source=MEMORY_GUIDE,
    ),
    Rule(
        kind="recovery-drain",
        severity="quarantine",
        meaning="the GPU works at reduced capacity until it is reset",
        clear=_RESET,
        source=MEMORY_GUIDE,
    ),
    Rule(
        kind="recovery-imex",
        severity="quarantine",
        scope="island",
        meaning="the driver asks for the IMEX domain to be recovered",
        clear="restart nvidia-imex on every node of the domain",
        source=NVML_H,
    ),
    Rule(
        kind="recovery-unknown",
        severity="quarantine",
        meaning="the driver asks for something that this table does not know",
        clear="nvidia-smi -q names it (GPU Recovery Action)",
        source=OWN,
    ),
    Rule(
        kind="unreadable",
        severity="unknown",
        meaning="the GPU could not be asked, which proves nothing",
        clear="nothing while it lasts for seconds; if it stays, dmesg on the node",
        source=OWN,
    ),
    Rule(
        kind="remap-pending",
        severity="quarantine",
        meaning="a row remap waits for a reset",
        clear=_RESET,
        source=OWN,
    ),
    Rule(
        kind="retired-pending",
        severity="quarantine",
        meaning="a page retirement waits for a reset",
        clear=_RESET,
        source=OWN,
    ),
    Rule(
        kind="repair-pending",
        severity="quarantine",
        meaning="a repair waits for a reset",
        clear=_RESET,
        source=OWN,
    ),
    Rule(
        kind="sram-threshold",
        severity="quarantine",
        meaning="more SRAM errors than NVIDIA tolerates",
        clear=_REPLACE,
        source=MEMORY_GUIDE,
    ),
    Rule(
        kind="fabric-unready",
        severity="quarantine",
        meaning="the GPU's registration with the NVLink fabric is not completed (fabric state 1 or 2)",
        clear=_FABRIC,
        source=NVML_H,
    ),
    Rule(
        kind="fabric-failed",
        severity="quarantine",
        scope="island",
        meaning="the GPU's registration with the NVLink fabric failed (fabric state 3, status not 0)",
        clear=_FABRIC,
        source=NVML_H,
    ),
    Rule(
        kind="fabric-unhealthy",
        severity="quarantine",
        scope="island",
        meaning="the NVLink fabric is unhealthy (health summary 2, or its route)",
        clear=f"{_FABRIC}; then reset every GPU of the node together",
        source=NVML_H,
    ),
    Rule(
        kind="fabric-misconfigured",
        severity="note",
        scope="island",
        meaning="the NVLink fabric is not configured for this GPU: no gang that needs NVLink",
        clear="nvidia-smi -q names it (Fabric, Incorrect Configuration)",
        source=NVML_H,
    ),
    Rule(
        kind="fabric-degraded",
        severity="note",
        meaning="the NVLink fabric has less bandwidth than it could",
        clear="reset every GPU of the node together once they are idle",
        source=NVML_H,
    ),
    Rule(
        kind="nvlink-down",
        severity="note",
        scope="island",
        meaning="fewer NVLinks are up than on its peers, or than were up before: no gang that needs NVLink",
        clear=_RESET,
        source=OWN,
    ),
)


def xid(number: int) -> str:
    """The kind of an XID."""
    return f"xid-{number}"


def _xids() -> Iterator[Rule]:
    for number in _APPLICATION:
        source = DRA_DRIVER if number in (13, 31, 43, 45, 68) else NVSENTINEL
        yield Rule(kind=xid(number), severity="ignore", meaning="an application's own error", source=source)
    for number, meaning in _NOTED.items():
        yield Rule(
            kind=xid(number), severity="note", meaning=meaning, clear="nothing to do", source=NVSENTINEL
        )
    for number, meaning in _RESET_WANTED.items():
        yield Rule(
            kind=xid(number),
            severity="fatal",
            recovery="reset",
            meaning=meaning,
            clear=_RESET,
            source=NVSENTINEL,
        )
    for number, meaning in _LINKS.items():
        yield Rule(
            kind=xid(number),
            severity="fatal",
            recovery="reset",
            scope="island",
            meaning=meaning,
            clear="reset every GPU of the node together",
            source=NVSENTINEL,
        )
    for number, meaning in _BOOT_WANTED.items():
        yield Rule(
            kind=xid(number),
            severity="fatal",
            recovery="boot",
            meaning=meaning,
            clear=_REBOOT,
            source=NVSENTINEL,
        )
    yield Rule(
        kind=xid(109),
        severity="fatal",
        recovery="reset",
        meaning="context switch timed out (policy: NVIDIA's own tools disagree)",
        clear=_RESET,
        source=NVSENTINEL,
    )


def _graded_xids() -> Iterator[Rule]:
    """NVML tells the number of an NVLink 5 error and not its severity; the recovery action does."""
    for number, unit in _FIFTH_GENERATION.items():
        yield Rule(
            kind=xid(number),
            severity="quarantine",
            scope="island",
            meaning=f"NVLink error ({unit}) that the driver was not asked about yet, or cannot tell",
            clear="wait: the driver's recovery action says what it needs",
            source=CATALOGUE,
            is_graded=True,
        )
        yield Rule(
            kind=f"{xid(number)}{NONFATAL}",
            severity="note",
            meaning=f"NVLink error ({unit}) after which the driver asks for nothing",
            clear="nothing to do",
            source=CATALOGUE,
        )


#: Kind to rule.
TABLE: Mapping[str, Rule] = {rule.kind: rule for rule in (*_xids(), *_graded_xids(), *_LEVELS)}


def rule_of(kind: str, policy: HealthPolicy = DEFAULT_POLICY) -> Rule:
    """What the kind means under the policy; unlisted kinds get the policy's ``unknown`` severity."""
    rule = TABLE.get(kind) or Rule(
        kind=kind,
        severity=policy.unknown,
        meaning="not in the health table",
        clear="look it up in NVIDIA's XID catalogue; then set its severity in the policy",
        source=OWN,
    )
    severity = policy.severities.get(kind, rule.severity)
    return rule if severity == rule.severity else replace(rule, severity=severity)
