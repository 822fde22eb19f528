"""A single pod has no dialect: what has to leave its device leaves all the same."""

from __future__ import annotations

from scheduler.gangs import events, machine
from scheduler.gangs.recovery import give_back
from scheduler.gangs.registry import resolve
from scheduler.model.gang import SINGLE, GangKey
from tests.builders import pod


def test_a_single_pod_on_a_sick_device_is_evicted_once() -> None:
    lone = pod("lone", gpu=1, node="n1", phase="Running")
    key = resolve(lone)
    assert isinstance(key, GangKey)
    assert key.dialect == SINGLE
    attempt, todo = give_back(key, [lone], min_member=1, epoch=3, at_s=10.0, reason="its device failed")
    evicted = [one.uid for one in todo if isinstance(one, events.EvictPod)]
    assert evicted == [lone.uid]
    assert not attempt.is_done
    attempt, todo = machine.step(attempt, events.EvictAcked(at_s=10.5, uid=lone.uid))
    assert attempt.is_done
    assert [one.kind for one in todo if isinstance(one, events.Announce)] == ["Evicted", "NotPlaced"]
