"""Guards of the judges of use: what makes an eviction useless, and which history excuses it."""

from __future__ import annotations

from tests.mutations.guards import Mutation

OTHERS = "tests/usefulness/test_room_that_is_others_is_nobodys.py"
EXCUSED = "tests/usefulness/test_who_loses_the_room_to_others_is_excused.py"
NEWEST = "tests/usefulness/test_the_newest_members_say_what_is_asked.py"
NO_MORE = "tests/usefulness/test_who_needs_the_room_no_more_is_excused.py"
SEEN = "tests/faults/test_every_violation_is_seen.py"
HARM = "tests/usefulness/test_harm_and_a_loss_for_good_are_seen.py"

JUDGE_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="who was evicted in its turn while it started had asked for more than was bound",
        file="scheduler/invariants/evictions.py",
        old="    cut += [case.at_s for case in cases.closed if case.who == who]\n",
        new="",
        test=NO_MORE,
    ),
    Mutation(
        name="who starts has its time from when the last of its victims is gone",
        file="scheduler/invariants/evictions.py",
        old="from_s <= at_s <= gone_s + START_S for at_s in cut",
        new="from_s <= at_s <= from_s + START_S for at_s in cut",
        test=NO_MORE,
    ),
    Mutation(
        name="a Binding that was on its way when all others left is of the gang that stood",
        file="scheduler/invariants/stood.py",
        old="            _, self.by[ref], self.begun[ref] = was\n",
        new="            pass\n",
        test=SEEN,
    ),
    Mutation(
        name="who is bound long after all others left begins the gang anew",
        file="scheduler/invariants/stood.py",
        old="now_s < was[0] + UNDER_WAY_S",
        new="True",
        test=SEEN,
    ),
    Mutation(
        name="who did its work and was deleted while nobody led is known to no later leader",
        file="scheduler/invariants/idle.py",
        old="            self.unwatched.update(self.done)\n",
        new="",
        test="tests/usefulness/test_each_idle_hole_is_seen.py",
    ),
    Mutation(
        name="who did its work and was deleted before a leader was heard of is known to the next",
        file="scheduler/invariants/idle.py",
        old="            self.done.clear()\n",
        new="            pass\n",
        test="tests/usefulness/test_each_idle_hole_is_seen.py",
    ),
    Mutation(
        name="where it displaces as well a higher priority goes first",
        file="scheduler/invariants/evictions.py",
        old="    if not RANKED.search(case.words):",
        new="    if not PREEMPTED.search(case.words):",
        test=EXCUSED,
    ),
    Mutation(
        name="who was promised room in a decision may take it after the beneficiary",
        file="scheduler/invariants/evictions.py",
        old="(pod.uid not in bound or pod.priority >= level.get(pod.namespace, 0))",
        new="pod.uid not in bound",
        test=OTHERS,
    ),
    Mutation(
        name="but not who goes after it",
        file="scheduler/invariants/evictions.py",
        old="(pod.uid not in bound or pod.priority >= level.get(pod.namespace, 0))",
        new="True",
        test=OTHERS,
    ),
    Mutation(
        name="who took what was promised to them has room once",
        file="scheduler/invariants/evictions.py",
        old="    asking -= {pod.uid for pod in rivals}\n",
        new="",
        test=OTHERS,
    ),
    Mutation(
        name="a lost member's room is kept from others in judgement too",
        file="scheduler/invariants/evictions.py",
        old="if pod.gang not in mine and (least is None or pod.priority >= least):",
        new="if False:",
        test=OTHERS,
    ),
    Mutation(
        name="not from its own gang",
        file="scheduler/invariants/evictions.py",
        old="if pod.gang not in mine and (least",
        new="if (least",
        test=OTHERS,
    ),
    Mutation(
        name="nor from a higher priority",
        file="scheduler/invariants/evictions.py",
        old="(least is None or pod.priority >= least):",
        new="True:",
        test=OTHERS,
    ),
    Mutation(
        name="but, with teams, from those of other teams",
        file="scheduler/invariants/evictions.py",
        old="level.get(pod.namespace) if case.has_teams else max",
        new="max",
        test=OTHERS,
    ),
    Mutation(
        name="and not for ever",
        file="scheduler/invariants/cases.py",
        old="            if ref != who and now_s < lost_s + KEPT_S",
        new="            if ref != who",
        test=OTHERS,
    ),
    Mutation(
        name="what came free while an eviction was written was not seen",
        file="scheduler/invariants/evictions.py",
        old="    gone = {pod.uid: pod for pod in case.unseen}",
        new="    gone: dict[str, PodVersion] = {}",
        test=OTHERS,
    ),
    Mutation(
        name="who waited until just before may have had the room",
        file="scheduler/invariants/evictions.py",
        old="if fits(room, [*need, *first.withdrawn]):",
        new="if fits(room, need):",
        test=OTHERS,
    ),
    Mutation(
        name="where it fitted",
        file="scheduler/invariants/cases.py",
        old="for pods in late.values() if fits(free, pods) for pod in pods]",
        new="for pods in late.values() for pod in pods]",
        test=OTHERS,
    ),
    Mutation(
        name="and where nobody had to leave first",
        file="scheduler/invariants/cases.py",
        old=" and not any(self.is_said(case, who) for case in lately):",
        new=":",
        test=OTHERS,
    ),
    Mutation(
        name="and not long before",
        file="scheduler/invariants/cases.py",
        old="            if at_s <= now_s - SEEN_S:\n                break\n",
        new="",
        test=OTHERS,
    ),
    Mutation(
        name="what is promised to others is no room of a replacement",
        file="scheduler/invariants/cases.py",
        old="                take(room[pod.nominated], pod.requests)\n",
        new="                pass\n",
        test=OTHERS,
    ),
    Mutation(
        name="unless they come after it",
        file="scheduler/invariants/cases.py",
        old=" and pod.nominated in room and pod.priority >= ready[0].priority:",
        new=" and pod.nominated in room:",
        test=OTHERS,
    ),
    Mutation(
        name="what came free before that was",
        file="scheduler/invariants/cases.py",
        old="            if at_s > now_s - SEEN_S and not stays:",
        new="            if not stays:",
        test=OTHERS,
    ),
    Mutation(
        name="the room of a member that leaves is kept once",
        file="scheduler/invariants/cases.py",
        old="            if at_s > now_s - SEEN_S and not stays:",
        new="            if at_s > now_s - SEEN_S:",
        test=OTHERS,
    ),
    Mutation(
        name="that whoever was evicted leaves is known",
        file="scheduler/invariants/cases.py",
        old=" and not before.is_evicted and not stays",
        new=" and not stays",
        test=OTHERS,
    ),
    Mutation(
        name="who starts on other nodes takes no lost member's room",
        file="scheduler/invariants/cases.py",
        old="    return any(lost.node == node and",
        new="    return any(",
        test=OTHERS,
    ),
    Mutation(
        name="who starts on its node does",
        file="scheduler/invariants/cases.py",
        old=" or _is_of_the_lost(life, pod.node, at_s))",
        new=")",
        test=OTHERS,
    ),
    Mutation(
        name="a replacement that was made a moment ago was not seen",
        file="scheduler/invariants/cases.py",
        old="(at_s >= made_s + SEEN_S or",
        new="(at_s >= made_s or",
        test=OTHERS,
    ),
    Mutation(
        name="the newest of one controller speak for all of its pods",
        file="scheduler/invariants/lives.py",
        old=" if not pod.owner or pod.created == last[pod.owner]}",
        new="}",
        test=NEWEST,
    ),
    Mutation(
        name="a member that is still leaving is no loss for good",
        file="scheduler/invariants/pairs.py",
        old="    ended = Counter(_leaving(history, at_s))",
        new="    ended: Counter[str] = Counter()",
        test=HARM,
    ),
    Mutation(
        name="one that was gone long before is",
        file="scheduler/invariants/pairs.py",
        old="entry.at_s > at_s - REPLACED_S",
        new="True",
        test=HARM,
    ),
    Mutation(
        name="and one that was evicted",
        file="scheduler/invariants/pairs.py",
        old=" and not pod.is_evicted\n    return is_its_own",
        new="\n    return is_its_own",
        test=HARM,
    ),
)
