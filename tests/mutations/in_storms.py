"""Guards whose loss some of the 300 storms of ``tests/simulations`` notices, and nothing else is asked."""

from __future__ import annotations

from typing import Final

from tests.mutations.guards import Mutation

#: Not a test of pytest's: the storms themselves, one after the other, until one breaks a rule.
STORMS: Final = "simulations/faults/__main__.py"


def _mutation(name: str, file: str, old: str, new: str) -> Mutation:
    return Mutation(name=f"{name} (storms)", file=file, old=old, new=new, test=STORMS)


IN_STORMS: tuple[Mutation, ...] = (
    # -- the binding protocol
    _mutation(
        "no Binding before the claim is acknowledged",
        "scheduler/gangs/machine.py",
        "    return replace(attempt, writing=Writing.SENT), (WriteClaim(),)\n\n\ndef step",
        "    return _bind_planned(attempt)\n\n\ndef step",
    ),
    _mutation(
        "a Binding answered late is taken back while unwinding",
        "scheduler/gangs/machine.py",
        "        case Phase.UNWINDING if attempt.tally.get(MemberState.BOUND, 0):\n"
        "            return _evict_late(attempt)\n",
        "",
    ),
    _mutation(
        "a gang below its minimum is unwound",
        "scheduler/gangs/machine.py",
        "        case Phase.BINDING if attempt.is_lost:\n            return unwind(attempt)\n",
        "",
    ),
    _mutation(
        "capacity comes back when a member is given up",
        "scheduler/gangs/member_rules.py",
        "    return after, (Forget(uid=member.uid),)\n\n\ndef evict",
        "    return after, ()\n\n\ndef evict",
    ),
    _mutation(
        "a gang starts with its minimum only",
        "scheduler/gangs/view.py",
        "    if there < spec.min_member:\n",
        "    if there < 1:\n",
    ),
    # -- the state
    _mutation(
        "assumed capacity is charged",
        "scheduler/state/cluster.py",
        "            record.assumed, record.devices = assignment.node, assignment.devices\n",
        "            record.devices = assignment.devices\n",
    ),
    _mutation(
        "a deleting pod holds its node until it is gone",
        "scheduler/model/objects.py",
        '        return bool(self.node_name) and self.phase not in ("Succeeded", "Failed")',
        "        return bool(self.node_name) and not self.is_deleting",
    ),
    _mutation(
        "a pod that is gone holds nothing",
        "scheduler/state/cluster.py",
        '            self._charge(record, "")\n            self.roll.touch(record.key)\n',
        "            self.roll.touch(record.key)\n",
    ),
    _mutation(
        "a device that is not usable has no room",
        "scheduler/devices/summary.py",
        "return slot.is_usable and self.is_fresh and",
        "return self.is_fresh and",
    ),
    _mutation(
        "the devices of a pod are held",
        "scheduler/devices/summary.py",
        "            room[at] = 0 if hold.ask.whole else",
        "            room[at] = room[at] if hold.ask.whole else",
    ),
    _mutation(
        "a limit is asked before packing",
        "scheduler/teams/allowance.py",
        "if isinstance(answer, Allowed) or (answer.by.kind == PACKING_SAYS and not is_strict):",
        "if True:",
    ),
    # -- the term
    _mutation(
        "a lease is taken only when it was seen unchanged for its whole duration",
        "scheduler/kube/lease.py",
        '    return "take" if now_s - seen.since_s > seen.lease_s else "wait"',
        '    return "take"',
    ),
    _mutation(
        "a Binding carries its term",
        "scheduler/live/binder.py",
        "annotations={EPOCH: str(epoch), **(",
        "annotations={**(",
    ),
    _mutation(
        "an attempt ends with the term",
        "scheduler/live/run.py",
        "            self.loop.actor.abandon()\n            self.metrics.leadership(is_leading=False, epoch=epoch)\n"
        "            for task in tasks:\n                task.cancel()\n",
        "            await asyncio.sleep(60.0)\n            for task in tasks:\n                task.cancel()\n",
    ),
    _mutation(
        "the claim names where each pod goes",
        "scheduler/live/claims.py",
        '"placement": [place._asdict() for place in places],',
        '"placement": [],',
    ),
    # -- views
    _mutation(
        "what a list does not hold is gone",
        "scheduler/kube/view.py",
        "        for key in [key for key in self._known if key not in self._listed]:\n            self._drop(key)\n        self._listed",
        "        self._listed",
    ),
    _mutation(
        "a history that is gone is listed anew",
        "scheduler/kube/reflector.py",
        "        except (Gone, BadAnswer) as error:\n            self._needs_list = True\n",
        "        except (Gone, BadAnswer) as error:\n",
    ),
    _mutation(
        "nothing is acted on when a view may be stale",
        "scheduler/live/run.py",
        "        return not self.views.stale(float(self._config.watch.stale_seconds))",
        "        return True",
    ),
    # -- the loop
    _mutation(
        "a gang that stays partly bound is given back",
        "scheduler/live/loop.py",
        "        self._watch_partial(epoch)\n",
        "",
    ),
    _mutation(
        "one attempt of a gang at a time",
        "scheduler/cycles.py",
        "            if is_running(place.gang.key):\n                continue\n",
        "",
    ),
    _mutation(
        "a gang that backed off is planned again",
        "scheduler/cycles.py",
        '            if held.until_s <= now_s:\n                self._state.gangs.unhold(key, "back-off")\n',
        '            if False:\n                self._state.gangs.unhold(key, "back-off")\n',
    ),
    _mutation(
        "what is said of a pod is said of this version of it",
        "scheduler/live/announcements.py",
        '            "metadata": {"uid": pod.uid, "resourceVersion": resource_version},',
        '            "metadata": {"uid": pod.uid},',
    ),
    _mutation(
        "a verdict that could not be written is said again",
        "scheduler/live/announcer.py",
        "            del self._told[item.pod.uid]\n",
        "            pass\n",
    ),
    _mutation(
        "a 409 is no failure: the pod is read",
        "scheduler/live/binder.py",
        "            return events.BindConflict(at_s=self._clock(), uid=pod.uid)",
        "            return events.BindAcked(at_s=self._clock(), uid=pod.uid)",
    ),
    _mutation(
        "a claim without an answer is read",
        "scheduler/live/claims.py",
        "            return events.ClaimUnknown(at_s=self._clock())",
        "            return events.ClaimAcked(at_s=self._clock())",
    ),
    _mutation(
        "a Binding without an answer is of unknown outcome",
        "scheduler/live/binder.py",
        "            return events.BindUnknown(at_s=self._clock(), uid=pod.uid)",
        "            return events.BindAcked(at_s=self._clock(), uid=pod.uid)",
    ),
    _mutation(
        "a single pod given back ends its attempt",
        "scheduler/gangs/machine.py",
        "_GIVEN_UP | _END for event in _GIVEN_BACK",
        "_GIVEN_UP for event in _GIVEN_BACK",
    ),
    _mutation(
        "the lease is renewed while a new term waits for the fence",
        "scheduler/live/run.py",
        "            await self._elector.hold()\n",
        '            while self.health.role != "leading":\n                await asyncio.sleep(0.1)\n'
        "            await self._elector.hold()\n",
    ),
    _mutation(
        "the object of a gang that is gone goes too",
        "scheduler/live/noticeboard.py",
        "            if not state.members(key):\n",
        "            if False:\n",
    ),
)
