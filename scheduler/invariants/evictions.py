"""INV17, no useless eviction: each of ours has a cause in the API's own history, and is one that it needs.

Causes are: the gang truly fell below the minimum under which it started, and stayed there; it could not be
completed; its node or a device of it is gone; or somebody starts on the room, and could not have without it.
What the scheduler says of its reasons counts only to find for whom it was.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from scheduler.invariants.cases import FOR, RESTART_S, Case, Cases, Span, Who
from scheduler.invariants.history import GangRef, History, PodVersion, Violation
from scheduler.invariants.room import GPU, copy, fits, give, take
from scheduler.invariants.world import replay

#: Whoever others left for starts within this, once they are gone.
START_S: Final = 120.0
#: A write that was on its way when its cause went.
VIEW_S: Final = 5.0
#: Evictions for the same end so near to each other are one decision.
ROUND_S: Final = 5.0
#: The same where only a higher priority has a right to the room.
PREEMPTED: Final = re.compile(r"^preempted for (?:gang|pod) \S+(?: and \d+ more)?,")
#: The same where a higher priority goes first, by every order.
RANKED: Final = re.compile(r"^(?:preempted|displaced) for (?:gang|pod) \S+(?: and \d+ more)?,")
#: How an eviction speaks of pods that are planned together with the one it names.
MORE: Final = re.compile(r"\band (\d+) more\b")


def no_useless_eviction(
    history: History,
    *,
    start_s: float = START_S,
    troubles: Sequence[Span] = (),
    refused: Sequence[Span] = (),
) -> list[Violation]:
    """INV17.

    troubles: when the API server or the network kept everybody from acting. refused: when evictions were
    refused, whatever budgets said.
    """
    cases = Cases(troubles)
    for world, change in replay(history):
        cases.take(world, change)
    found: list[Violation] = []
    for case in cases.closed:
        is_broken_off = any(begin_s - RESTART_S < case.at_s < end_s for begin_s, end_s in refused)
        found += _judge(case, cases, history.until_s, start_s, is_broken_off=is_broken_off)
        found += _halved(case, history.until_s, (*troubles, *refused))
    found += _needless(cases)
    return found


# -- for whom ------------------------------------------------------------------------------------------


def _judge(
    case: Case, cases: Cases, until_s: float, start_s: float, *, is_broken_off: bool
) -> Iterator[Violation]:
    """Of an eviction without a cause of its own, or of a gang that was short: who started on the room.

    is_broken_off: the others whose room was needed may have been kept where they are.
    """
    if not case.fault and not case.is_broken:
        return
    if case.fault and case.words and not FOR.search(case.words):
        text = f"{case.title} evicted at {case.at_s:.1f} s: {case.fault} ({case.words})"
        yield Violation("INV17", case.revision, text)
        return
    named = _named(case, cases)
    due_s = _gone_s(case, cases, named) + start_s
    case.starter = _starter(case, cases, named, due_s)
    if case.starter is not None:
        yield from _outranked(case, case.starter)
        return
    nodes = case.nodes | cases.hoped_for(named)
    late = [at_s for at_s, who, level in cases.ended if _gave_up(case, named, at_s, who, level, due_s)]
    if late:
        again_s = max((at_s for at_s, who in cases.came if who in named and at_s <= case.last_s), default=0.0)
        over_s = case.last_s - min((at_s for at_s in late if at_s >= again_s), default=case.last_s)
        if named and over_s > VIEW_S and not case.is_mixed:
            text = f"{case.title} evicted for {case.words}, {over_s:.1f} s after that had ended"
            yield Violation("INV17", case.revision, text)
        return
    if (
        is_broken_off
        or due_s > until_s
        or any(at_s > case.at_s - VIEW_S and node in nodes for at_s, node in cases.moved)
        or _is_overtaken(case, cases, named, due_s)
        or any(who in named and case.at_s - VIEW_S <= at_s <= due_s for at_s, who in cases.grown)
        or (not named and case.is_broken and _is_served_elsewhere(case, cases))
    ):
        return  # Nobody can know yet, or the room went to somebody who asks nobody, or has a better right.
    why = case.fault or "the gang was short"
    text = f"{case.title} evicted at {case.at_s:.1f} s: {why}, and nobody started on the room"
    yield Violation("INV17", case.revision, f"{text} ({case.words or 'no word why'})")


def _halved(case: Case, until_s: float, excused: Sequence[Span]) -> Iterator[Violation]:
    """A gang is given back whole: with some of it left where they are neither it nor anybody else starts."""
    if not case.words or FOR.search(case.words) or not case.rest or until_s < case.at_s + RESTART_S:
        return
    if any(begin_s - RESTART_S < case.at_s < end_s for begin_s, end_s in excused):
        return
    names = ", ".join(sorted(pod.name for pod in case.rest.values()))
    text = f"{case.title} evicted at {case.at_s:.1f} s ({case.words}), and {names} stayed"
    yield Violation("INV17", case.revision, text)


def _outranked(case: Case, starter: Who) -> Iterator[Violation]:
    """Where priority alone gives a right to the room, each victim must have a lower one."""
    if not PREEMPTED.search(case.words) or starter not in case.waiting:
        return
    level = max(pod.priority for pod in case.waiting[starter])
    above = [pod for pod in case.pods.values() if pod.priority >= level]
    if above:
        text = f"{case.title} evicted for somebody of priority {level}, which {above[0].name} has as well"
        yield Violation("INV17", case.revision, text)


def _named(case: Case, cases: Cases) -> set[Who]:
    """Whom the eviction was said to be for; of pods that are planned together only the first is named."""
    named = {who for who in cases.names if cases.is_said(case, who)}
    if not MORE.search(case.words):
        return named
    return named | {mate for who in named for mate in _mates(case, who)}


def _mates(case: Case, who: Who) -> list[Who]:
    """Single pods that waited then and are like this one."""
    if isinstance(who, GangRef) or who not in case.waiting:
        return []
    (pod,) = case.waiting[who]
    return [
        other
        for other, (first, *_) in case.waiting.items()
        if not isinstance(other, GangRef)
        and (first.namespace, first.priority, first.requests) == (pod.namespace, pod.priority, pod.requests)
        and other != who
    ]


def _gone_s(case: Case, cases: Cases, named: Collection[Who]) -> float:
    """When the last of the victims of one decision was gone, and of others that had begun to leave by then
    nodes to which the beneficiary is nominated: whoever they leave for waits for all of them.
    """
    beside = [other for other in cases.closed if other.fault and abs(other.at_s - case.at_s) <= ROUND_S]
    hopes = cases.hoped_for(named)
    leaving = (
        gone_s for node, begun_s, gone_s in cases.leaving.values() if node in hopes and begun_s <= case.last_s
    )
    return max([case.gone_s, *(other.gone_s for other in beside), *(s for s in leaving if s >= case.at_s)])


def _starter(case: Case, cases: Cases, named: Collection[Who], due_s: float) -> Who | None:
    """For whom it was: who is named, else who starts with the most on the nodes of the victims."""
    started: dict[Who, int] = {}
    for at_s, who, pod in cases.binds:
        # Who is named may start on room that came by chance before the victims were gone.
        is_it = who in named if named else pod.node in case.nodes
        if (
            is_it
            and (who != case.who or case.is_broken)
            and (who in case.waiting or case.is_broken)
            and case.at_s < at_s <= due_s
        ):
            started[who] = started.get(who, 0) + pod.requests.get(GPU, 0) + 1
    # Who is named itself goes before those that are planned together with it.
    first = {who: size for who, size in started.items() if cases.is_said(case, who)} or started
    return max(first, key=lambda who: first[who], default=None)


def _gave_up(case: Case, named: Collection[Who], at_s: float, who: Who, level: int, due_s: float) -> bool:
    """Whether somebody who may have been the beneficiary was deleted before it could start."""
    if not case.at_s - VIEW_S <= at_s <= due_s or who == case.who:
        return False
    return who in named if named else level >= max(pod.priority for pod in case.pods.values())


def _is_overtaken(case: Case, cases: Cases, named: Collection[Who], due_s: float) -> bool:
    """Whether a higher priority was promised room for the beneficiary, or took it, before it started."""
    if not RANKED.search(case.words):
        return False
    hopes = cases.hoped_for(named)
    level = max((pod.priority for who in named for pod in case.waiting.get(who, ())), default=None)
    taken = [(at_s, pod, pod.nominated) for at_s, pod in cases.nominated]
    taken += [(at_s, pod, pod.node) for at_s, _, pod in cases.binds]
    return level is not None and any(
        pod.priority > level and node in hopes and case.at_s - VIEW_S <= at_s <= due_s
        for at_s, pod, node in taken
    )


def _is_served_elsewhere(case: Case, cases: Cases) -> bool:
    """Whether somebody who waited and needed this room found other room before this was free, by chance."""
    room = copy(case.free)
    for pod in case.pods.values():
        if pod.node in room:
            give(room[pod.node], pod.requests)
    early = dict.fromkeys(who for at_s, who, _ in cases.binds if case.at_s < at_s <= case.gone_s)
    asked = [case.waiting[who] for who in early if who in case.waiting and who != case.who]
    return any(not fits(case.free, pods) and fits(room, pods) for pods in asked)


def _needless(cases: Cases) -> Iterator[Violation]:
    """Victims without whom the one that started would have had its places at once."""
    rounds: dict[Who, list[Case]] = {}
    for case in cases.closed:
        if case.fault and case.starter is not None:
            rounds.setdefault(case.starter, []).append(case)
    for who, group in rounds.items():
        while group:
            first = group[0]
            together = [case for case in group if case.at_s - first.at_s <= ROUND_S]
            group = [case for case in group if case not in together]
            yield from _spared(cases, who, together)


def _spared(cases: Cases, who: Who, together: Sequence[Case]) -> Iterator[Violation]:
    first = together[0]
    started = [(whose, pod) for at_s, whose, pod in cases.binds if at_s > first.at_s]
    told = MORE.search(first.words)
    # For whom others left alone, that one is none of those who are planned together.
    own = [case for case in cases.closed if case not in together and abs(case.at_s - first.at_s) <= ROUND_S]
    mates = _mates(first, who) if told is not None else []
    alike = dict.fromkeys(mate for mate in mates if not any(cases.is_said(case, mate) for case in own))
    # Those that were told to wait, those that started, and then those that wait for the last who leave.
    hoped = [pod.uid for at_s, pod in cases.nominated if abs(at_s - first.at_s) <= VIEW_S]
    chosen = (*hoped, *(whose for whose, _ in started))
    order = dict.fromkeys([*(whose for whose in chosen if whose in alike), *alike])
    mates = list(order)[: 0 if told is None else int(told[1])]
    mine = {who, *mates}
    bound = {pod.uid for whose, pod in started if whose in mine}
    # Who was cut short had asked for more than what was bound.
    whole = {who, *mates} if _was_cut_short(cases, who, together) else set(mates)
    need = [pod for one in (who, *mates) for pod in first.waiting[one] if pod.uid in bound or one in whole]
    if not need or not all(pod.is_plain and pod.share is None for pod in need):
        return
    if any(case.has_shares for case in together):
        return
    rivals = [*_others_that_start(cases, mine, together), *_before_them(cases, mine, together)]
    for spared in together:
        room = copy(first.free)
        for node, requests in _promised(first, mine, cases, rivals):
            take(room[node], requests)
        for case in together:
            for pod in case.pods.values() if case is not spared else ():
                if pod.node in room:
                    give(room[pod.node], pod.requests)
        for pod in rivals:
            if pod.node in room:
                take(room[pod.node], pod.requests)
        if fits(room, [*need, *first.withdrawn]):
            text = f"{spared.title} evicted for {cases.names[who]}, which needed {len(need)} places"
            yield Violation("INV17", spared.revision, f"{text} and had them without")


def _was_cut_short(cases: Cases, who: Who, together: Sequence[Case]) -> bool:
    """Whether some of it was deleted, or evicted in its turn, while it started."""
    from_s, gone_s = together[0].at_s, max(case.gone_s for case in together)
    cut = [at_s for at_s, whose, _ in cases.ended if whose == who]
    cut += [case.at_s for case in cases.closed if case.who == who]
    return any(from_s <= at_s <= gone_s + START_S for at_s in cut)


def _promised(
    case: Case, mine: Collection[Who], cases: Cases, rivals: Sequence[PodVersion]
) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Room that others had been nominated to before, or were in the same decision: who never took it, or took
    it later and does not go after the beneficiary. And what is kept for lost members of others, or came free
    when the eviction was on its way.

    rivals: those whose room is counted as they took it.
    """
    others = [pod for who, pods in case.waiting.items() for pod in pods if who not in mine]
    yield from ((pod.nominated, pod.requests) for pod in others if pod.nominated in case.free)
    level = {pod.namespace: pod.priority for who in mine for pod in case.waiting.get(who, ())}
    bound = {pod.uid for _, _, pod in cases.binds}
    asking = {
        pod.uid
        for pod in others
        if not pod.nominated and (pod.uid not in bound or pod.priority >= level.get(pod.namespace, 0))
    }
    asking -= {pod.uid for pod in rivals}
    for at_s, pod in cases.nominated:
        if pod.uid in asking and abs(at_s - case.at_s) <= VIEW_S and pod.nominated in case.free:
            yield pod.nominated, pod.requests
    gone = {pod.uid: pod for pod in case.unseen}
    for pod in case.kept:
        least = level.get(pod.namespace) if case.has_teams else max(level.values(), default=None)
        if pod.gang not in mine and (least is None or pod.priority >= least):
            gone[pod.uid] = pod
    yield from ((pod.node, pod.requests) for pod in gone.values() if pod.node in case.free)


def _others_that_start(cases: Cases, mine: Collection[Who], together: Sequence[Case]) -> list[PodVersion]:
    """Pods bound between: their room was theirs. Where it had been promised to them, it counts once."""
    begin_s = together[0].at_s
    ends = [at_s for at_s, whose, _ in cases.binds if whose in mine and at_s > begin_s]
    waiting = together[0].waiting
    promised = {pod.uid for pods in waiting.values() for pod in pods if pod.nominated}
    return [
        pod
        for at_s, whose, pod in cases.binds
        if whose not in mine and begin_s < at_s <= max(ends, default=begin_s) and pod.uid not in promised
    ]


def _before_them(cases: Cases, mine: Collection[Who], together: Sequence[Case]) -> list[PodVersion]:
    """Pods bound later, for whom others had begun to leave before: the room was theirs, said or not."""
    begin_s = together[0].at_s
    ends = max((at_s for at_s, whose, _ in cases.binds if whose in mine and at_s > begin_s), default=begin_s)
    first = {
        case.starter
        for case in cases.closed
        if case.starter is not None and case not in together and 0.0 <= begin_s - case.at_s <= START_S
    }
    waiting = together[0].waiting
    said = {pod.uid for pods in waiting.values() for pod in pods if pod.nominated}
    return [
        pod
        for at_s, whose, pod in cases.binds
        if whose in first - set(mine) and whose in waiting and at_s > ends and pod.uid not in said
    ]
