"""docs/inventory.md says what the agent's tables say, each line with its source."""

from __future__ import annotations

from typing import get_args

from deploy.evidence import PAGE, page
from scheduler.inventory.assess import HealthState, assess
from scheduler.inventory.health import TABLE
from scheduler.inventory.history import History
from scheduler.inventory.report import NodeState
from scheduler.inventory.troubles import RECOVERY, field_of


def test_the_page_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "python -m deploy.evidence"


def test_each_state_and_each_kind_is_on_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for word in (*get_args(HealthState), *get_args(NodeState)):
        assert f"`{word}`" in text
    for rule in TABLE.values():
        assert rule.source
        assert rule.meaning in text


def test_each_recovery_action_and_each_level_is_in_the_table() -> None:
    assert set(RECOVERY.values()) <= TABLE.keys()
    for kind in TABLE:
        if field_of(kind):
            state = assess(History().struck("GPU-0", kind, 0.0), 1.0)["GPU-0"].state
            assert state in ("Noted", "Quarantined", "Fatal")
