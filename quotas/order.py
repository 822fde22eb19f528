"""The order in which waiting work is considered, and the numbers that put each piece where it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

from quotas.accounts import PARTS, largest_part
from quotas.amounts import Amounts, row_of
from quotas.books import Books

#: Of a team that is due nothing and yet waits: after everybody who is due something.
NOTHING_DUE = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One piece of waiting work. ``name`` only makes the order total; it decides nothing else."""

    #: Holds something already and is of no use without the rest: before others of its team and priority.
    is_started: bool
    priority: int
    created_s: float
    name: str
    #: Room is held for it: before everything else, for nobody but it can use that room.
    is_promised: bool = False
    #: What orders pieces of one priority before their age, lower first.
    rank: float = 0.0
    #: Whose it is; empty for nobody's.
    team: str = ""
    #: What it takes to start.
    request: Amounts = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a team stood among its siblings when its turn came."""

    team: str
    #: With this piece of work it is still within its guarantee.
    is_guaranteed: bool
    #: Dominant shares in millionths: what it had, with all that came before; what it is due.
    holds_ppm: int
    due_ppm: int
    #: holds / due in millionths, what siblings are compared by; NOTHING_DUE if nothing is due.
    filled_ppm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """``index`` of an entry, and why it comes here: a standing for each level, from the top down."""

    index: int
    is_started: bool
    is_promised: bool
    priority: int
    standings: tuple[Standing, ...]


def order(entries: Sequence[Entry]) -> list[int]:
    """Indices of ``entries``, first served first, whoever's they are.

    Work that room is held for first; then as kube-scheduler's PrioritySort: higher priority, then older.
    Between the two started work, because a fresh gang of its priority that goes before a half placed one
    strands it (volcano-sh/volcano#5805), and the lower rank, where the caller gives ranks.
    """
    return sorted(range(len(entries)), key=lambda i: _rank(entries[i]))


def order_fairly(entries: Sequence[Entry], books: Books) -> list[Position]:
    """Every entry in turn, as if each started when its turn comes. The books end as they were."""
    turns = Turns(entries, books)
    positions: list[Position] = []
    while (position := turns.next()) is not None:
        turns.charge(position)
        positions.append(position)
    for position in positions:
        entry = entries[position.index]
        books.release(entry.team, entry.request)
    return positions


class Turns:
    """Whose turn it is: work of all teams that room is held for first, then level by level down the tree.

    At each level first the team whose next piece is within its guarantee, then the one that has the least
    of what it is due (dominant share over dominant share). Teams that are equal in this go by weight and
    then by their next piece of work. Within a team as ``order`` says. Priorities are capped by ceilings.

    Work that the caller starts is charged through ``charge`` before the next turn; other work has had its
    turn. What is released through ``release`` shows at once, other changes of the books in between only when
    their teams come up again.
    """

    def __init__(self, entries: Sequence[Entry], books: Books) -> None:
        tree = books.tree
        self._entries = entries
        self._books = books
        self._ranks = [
            _rank(replace(e, priority=tree.priority(e.team, e.priority)) if e.team else e) for e in entries
        ]
        lines: dict[bool, dict[int, list[int]]] = {True: {}, False: {}}
        for i in sorted(range(len(entries)), key=self._ranks.__getitem__, reverse=True):
            lines[entries[i].is_promised].setdefault(tree.leaf(entries[i].team), []).append(i)
        #: The lines still to be seated, the next one last.
        self._lines = [lines[False], lines[True]]
        #: Of the line being served: entries by leaf, the next one last; and below each node who waits.
        self._stacks: dict[int, list[int]] = {}
        self._heaps: dict[int, list[_Seat]] = {}
        self._standings: dict[int, Standing] = {}
        self._heads: dict[int, int] = {}
        #: Of each node in line its seat that counts; others in the heaps are of before.
        self._seats: dict[int, _Seat] = {}
        #: Taken out of the heaps by the last turn, from the top down.
        self._served: list[int] = []
        #: To be seated anew before the next turn.
        self._moved: set[int] = set()

    def next(self) -> Position | None:
        """The next piece of work, taken out of the line; None when there is none."""
        self._seat(sorted({*self._served, *self._moved}, reverse=True))
        self._served = []
        self._moved.clear()
        while self._first(0) is None:
            if not self._lines:
                return None
            self._stacks = self._lines.pop()
            tree = self._books.tree
            nodes = {node for leaf in self._stacks for node in tree.path(leaf)}
            self._seat(sorted(nodes, reverse=True))
        node = 0
        while node not in self._stacks:
            self._first(node)  # What is on top of the heap now is a seat that counts.
            node = heappop(self._heaps[node])[-1]
            del self._seats[node]
            self._served.append(node)
        index = self._stacks[node].pop()
        return Position(
            index=index,
            is_started=self._entries[index].is_started,
            is_promised=self._entries[index].is_promised,
            priority=-self._ranks[index][1],
            standings=tuple(self._standings[i] for i in self._served),
        )

    def charge(self, position: Position) -> None:
        """The work of this position starts."""
        entry = self._entries[position.index]
        self._books.charge(entry.team, entry.request)

    def release(self, position: Position) -> None:
        """The work of this position, charged before, does not start after all."""
        entry = self._entries[position.index]
        self._books.release(entry.team, entry.request)
        self._moved.update(self._books.tree.path(self._books.tree.leaf(entry.team)))

    def put_back(self, position: Position) -> None:
        """The last turn was for nobody: the next one is looked for with this work in line again."""
        self._stacks[self._served[-1] if self._served else 0].append(position.index)

    def _seat(self, nodes: Iterable[int]) -> None:
        """Put nodes, children before parents, among their siblings, if they still have work waiting."""
        tree = self._books.tree
        for node in nodes:
            stack, below = self._stacks.get(node), self._first(node)
            if not stack and below is None:
                continue
            head = stack[-1] if stack else self._heads[below or 0]
            standing = _standing(self._books, node, self._entries[head])
            self._heads[node], self._standings[node] = head, standing
            team = tree.nodes[node]
            key = (not standing.is_guaranteed, standing.filled_ppm, -team.weight)
            self._seats[node] = seat = (*key, self._ranks[head], node)
            heappush(self._heaps.setdefault(team.parent, []), seat)

    def _first(self, node: int) -> int | None:
        """Of those below a node the one whose turn comes first; None where nobody waits."""
        heap = self._heaps.get(node, [])
        while heap and self._seats.get(heap[0][-1]) is not heap[0]:
            heappop(heap)
        return heap[0][-1] if heap else None


#: What work goes by, the smaller first.
Rank = tuple[bool, int, bool, float, float, str]
_Seat = tuple[bool, int, int, Rank, int]


def rank_of(
    priority: int,
    created_s: float,
    name: str,
    *,
    is_started: bool = False,
    is_promised: bool = False,
    rank: float = 0.0,
) -> Rank:
    """What ``order`` goes by, of work with these fields of ``Entry``: the smaller goes first."""
    urgency = (-priority, not is_started)
    return (not is_promised, *urgency, rank, created_s, name)


def _rank(entry: Entry) -> Rank:
    return rank_of(
        entry.priority,
        entry.created_s,
        entry.name,
        is_started=entry.is_started,
        is_promised=entry.is_promised,
        rank=entry.rank,
    )


def _standing(books: Books, node: int, entry: Entry) -> Standing:
    used, owned, size = books.used[node], books.owned[node], books.shares.size
    asked = row_of(entry.request, books.resources)
    governed = [r for r in range(len(asked)) if asked[r] and owned[r]]
    holds, due = largest_part(used, size), largest_part(books.shares.due[node], size)
    return Standing(
        team=books.tree.nodes[node].name,
        is_guaranteed=bool(governed) and all(used[r] + asked[r] <= owned[r] for r in governed),
        holds_ppm=holds,
        due_ppm=due,
        filled_ppm=min(holds * PARTS // due, NOTHING_DUE) if due else NOTHING_DUE,
    )
