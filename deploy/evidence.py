"""The tables of docs/inventory.md from the agent's own: ``python -m deploy.evidence`` writes them.

What each state of a device means for gangs and quotas, and what evidence leads there and back.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Final, get_args

from scheduler.inventory.assess import HealthState
from scheduler.inventory.health import DEFAULT_POLICY, NONFATAL, TABLE, Rule, Severity
from scheduler.inventory.identity import FORGET_S
from scheduler.inventory.troubles import FIELDS, VITAL

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "inventory.md"
BEGIN: Final = "<!-- from the code's own tables: python -m deploy.evidence -->\n"
END: Final = "<!-- end of the code's own tables -->\n"
_STATE: Final[dict[Severity, HealthState]] = {
    "ignore": "Healthy",
    "note": "Noted",
    "unknown": "Unknown",
    "quarantine": "Quarantined",
    "fatal": "Fatal",
}
_RUNNING: Final[dict[HealthState, str]] = {
    "Healthy": "stay",
    "Noted": "stay",
    "Unknown": "stay",
    "Quarantined": "stay",
    "Fatal": "who holds it, by evidence, is replaced once, as a whole",
}
_BACK: Final[dict[HealthState, str]] = {
    "Healthy": "",
    "Noted": "by itself, a day after the last note",
    "Unknown": "with the first probe that it answers, at once",
    "Quarantined": "{clean} after the last sign",
    "Fatal": "{clean} after the reset or boot that the evidence asks for, or after its last sign",
}


def tables() -> str:
    """States, then kinds of evidence by severity, then what counts as not asked."""
    return "\n".join((_states(), _kinds(), _calls()))


def page(text: str) -> str:
    """The page with its tables as they are now. Raises: ValueError where the marks are missing."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"{PAGE} has no {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def _states() -> str:
    clean = f"{DEFAULT_POLICY.clean_s / 60:.0f} minutes"
    rows = [
        f"| `{state}` | {'yes' if state in ('Healthy', 'Noted') else 'no'} | {_RUNNING[state]} "
        f"| {'counts' if state in ('Healthy', 'Noted') else 'not there'} "
        f"| {_BACK[state].format(clean=clean)} |\n"
        for state in get_args(HealthState)
    ]
    head = (
        "| state | new gangs | running gangs | as capacity, for quotas too | back |\n|---|---|---|---|---|\n"
    )
    return head + "".join(rows)


def _kinds() -> str:
    """XIDs that are treated alike in one row, everything else in its own."""
    rules = sorted(TABLE.values(), key=lambda rule: -list(_STATE).index(rule.severity))
    alike: dict[tuple[object, ...], list[Rule]] = {}
    for rule in rules:
        if rule.severity == "ignore":
            continue
        is_xid = rule.kind.startswith("xid-")
        treated = (rule.severity, rule.recovery, rule.scope, rule.clear, rule.source, rule.is_graded)
        alike.setdefault((*treated, "" if is_xid else rule.kind), []).append(rule)
    head = "| evidence | state | needs | reaches | what to do | source |\n|---|---|---|---|---|---|\n"
    return head + "".join(map(_row, alike.values())) + _ignored()


def _row(rules: list[Rule]) -> str:
    first = rules[0]
    needs = {"clean": "", "reset": "reset", "boot": "boot"}[first.recovery]
    names = "; ".join(f"{_name(rule.kind)}: {rule.meaning}" for rule in rules)
    state, clear = _STATE[first.severity], first.clear
    return f"| {names} | `{state}` | {needs} | {first.scope} | {clear} | {first.source} |\n"


def _ignored() -> str:
    numbers = sorted(
        int(rule.kind.removeprefix("xid-")) for rule in TABLE.values() if rule.severity == "ignore"
    )
    runs = [list(run) for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    spans = (f"{run[0][1]}-{run[-1][1]}" if len(run) > 1 else str(run[0][1]) for run in runs)
    text = f"XID {', '.join(spans)}"
    return f"| {text}: an application's own error | `Healthy` | | device | | NVSentinel, DRA driver |\n"


def _name(kind: str) -> str:
    if not kind.startswith("xid-"):
        return f"`{kind}`"
    number = kind.removeprefix("xid-").removesuffix(NONFATAL)
    return f"XID {number}{' (nonfatal)' if kind.endswith(NONFATAL) else ''}"


def _calls() -> str:
    vital = ", ".join(f"`{call}`" for call in sorted(VITAL))
    fields = ", ".join(f"`{name}`" for name in sorted(FIELDS))
    return f"""\
**Not asked.** A call that fails with a code that says nothing of the device leaves it `Unknown` where the
call is one of {vital}. What else could not be asked ({fields}) is taken as it was last told.

**Forgotten.** A device that is listed no more is `missing` for {FORGET_S / 3600:.0f} hours, and not at all
once the node was booted, is another Node of that name, or has another device at its bus address.
"""


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
