"""A node's devices through a storm of errors, restarts, boots and replaced hardware; judged by what is true.

The agent's own probe, memory and object on the fake library, the scheduler's own state on what is written.
The truth is kept here, apart from both: what happened to each board, and who really has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Final, cast

import msgspec
import pynvml

from deploy.local.nvml.library import FakeLibrary, FakeNode
from scheduler.inventory.events import EventPoll
from scheduler.inventory.health import rule_of
from scheduler.inventory.nvml import Nvml
from scheduler.inventory.parse import found_record
from scheduler.inventory.pod_resources import Grant
from scheduler.inventory.probe import probe
from scheduler.inventory.publish import written_node
from scheduler.inventory.record import Record, hung, observed, resumed, struck
from scheduler.inventory.report import DeviceReport
from scheduler.inventory.scenario import (
    Device,
    Driver,
    Event,
    Fabric,
    Instance,
    Mig,
    Process,
    Remap,
    Scenario,
)
from scheduler.kube.wire.inventory import GPUNode
from scheduler.model.devices import DEVICES, Inventory
from scheduler.parse.devices import parse_inventory
from scheduler.state import ClusterState
from tests.builders import pod as pod_object
from tests.devices.storm_boards import CALLS, LINKS, NOBODY_KNOWS, PARTED, PAUSES_S, XIDS, Board, Outcome
from tests.devices.storm_claims import Claims
from tests.devices.storm_replicas import Replicas
from tests.devices.storm_surroundings import Surroundings, Truth
from tests.inventory.schema import problems, status_schema

T0: Final = 1_800_000_000.0
NODE: Final = "n"
GPUS: Final = 3
STEPS: Final = 30
_WELL: Final = Fabric(cluster="0" * 32)


class Storm:
    """``Storm(seed, library, folder).run()``; the same seed is the same storm."""

    def __init__(self, seed: int, library: FakeLibrary, folder: Path) -> None:
        self.rng = Random(seed)
        self.found = Outcome()
        self._name = f"storm-{seed}"
        self._fake = FakeNode(folder, self._name, Scenario())
        library.use(self._fake.table_file)
        #: How many boards there were, and how many machines.
        self._hosts, self._machine = 0, 0
        self.boards = [self._board(i) for i in range(GPUS)]
        self._generation, self._boot, self._node_uid = 1, 0, 0
        self._events: list[Event] = []
        self.now_s = T0
        self.record = Record(boot_id="b0", node_uid="u0")
        self._poll = EventPoll(cast(Nvml, pynvml))
        #: Boards that are listed no more, and pods by name with the device that each really has.
        self._gone: dict[str, Board] = {}
        self._pods: dict[str, str] = {}
        self._made = 0
        self._looked_s = T0
        #: A reset that an agent sees, and XIDs that it hears of with its next look.
        self._is_reset = False
        self._heard: list[tuple[Board, str]] = []
        self._has_kubelet = self.rng.random() < 0.6
        self._is_probed = True
        self.state = ClusterState("stowplan")
        self._replicas = Replicas(seed, self.state, NODE, GPUS)
        self._replicas.offer()
        self._claims = Claims(self.state, NODE)
        self._around = Surroundings(seed, self.state, NODE, self._replicas, self.found)
        #: Whether the agent's object is there, and whether a board ever told its name.
        self._is_reported = self._is_named = False

    def run(self) -> Outcome:
        self._look()
        for step in range(STEPS):
            self._settle(step)
            self._happens(step)
            self.now_s += self.rng.choice(PAUSES_S)
            if self._is_probed:
                self._look()
            self._judge()
            self._around.judge(self._truth())
            if self._replicas.each == 1:
                self._place()
            elif self._is_probed:
                self._place_replica()
        self._poll.close()
        return self.found

    # -- what is true --------------------------------------------------------------------------

    def _board(self, slot: int) -> Board:
        self._hosts += 1
        return Board(
            Device(
                uuid=f"GPU-{self._hosts}",
                serial=f"s{self._hosts}",
                minor=slot,
                pci=f"{self._machine:08X}:{0x10 + slot:02X}:00.0",
                numa=0,
                fabric=_WELL,
                remap=Remap(),
                links=LINKS,
            )
        )

    def _settle(self, step: int) -> None:
        """What was to last until now is over; what held was seen to hold until the last probe."""
        for board in self.boards:
            if board.until_step and step >= board.until_step:
                board.until_step = 0
                board.change(fail={}, processes=(), fabric=_WELL, recovery=0, links=LINKS)
                for trouble in board.troubles:
                    if trouble.over_s is None and rule_of(trouble.kind).recovery == "clean":
                        trouble.over_s = self.now_s
        self._is_probed = True
        self._around.settle(step, self.now_s)

    def _happens(self, step: int) -> None:
        what = self.rng.choice((*self._KINDS, *Surroundings.KINDS))
        board = self.rng.choice(self.boards)
        self.found.story.append(f"{self.now_s - T0:.0f} s: {what} {board.uuid}")
        if what in Surroundings.KINDS:
            self._around.happens(what, step, self._truth())
        else:
            self._KINDS[what](self, board, step)

    def _lasts(self, step: int) -> int:
        return step + self.rng.randint(1, 3)

    def _error(self, board: Board, step: int) -> None:
        calls = self.rng.sample(CALLS, self.rng.randint(1, 2))
        board.change(fail={call: self.rng.choice(NOBODY_KNOWS) for call in calls})
        board.until_step = self._lasts(step)

    def _xid(self, board: Board, step: int) -> None:
        number = self.rng.choice(XIDS)
        self._events.append(Event(device=self.boards.index(board), data=number))
        self._heard.append((board, f"xid-{number}"))

    def _lost(self, board: Board, step: int) -> None:
        board.change(lost=True)
        board.hit("lost", self.now_s)

    def _recovery(self, board: Board, step: int) -> None:
        """Asked for, whether or not an agent heard of what caused it."""
        action, kind = self.rng.choice(((1, "recovery-reset"), (2, "recovery-reboot"), (4, "recovery-drain")))
        board.change(recovery=action)
        board.hit(kind, self.now_s, ends=True)
        board.until_step = self._lasts(step)

    def _fabric(self, board: Board, step: int) -> None:
        board.change(fabric=msgspec.structs.replace(_WELL, status=self.rng.choice((999, 17))))
        board.hit("fabric-failed", self.now_s, ends=True)
        board.until_step = self._lasts(step)

    def _link(self, board: Board, step: int) -> None:
        board.change(links=PARTED)
        board.until_step = self._lasts(step)

    def _rows(self, board: Board, step: int) -> None:
        """A level that holds until a reset, whether or not anybody can ask for it meanwhile."""
        board.change(remap=Remap(failure=True))
        board.hit("remap-failure", self.now_s)

    def _foreign(self, board: Board, step: int) -> None:
        board.change(processes=(Process(pid=9_999, mib=10),))
        board.until_step = self._lasts(step)

    def _restart(self, board: Board, step: int) -> None:
        """Of the agent: all that the next one knows is the object."""
        self._poll.close()
        written = msgspec.json.decode(msgspec.json.encode(self._object()), type=GPUNode)
        self.record = resumed(found_record(written), f"b{self._boot}", self.now_s, f"u{self._node_uid}")

    def _boots(self, board: Board, step: int) -> None:
        """Nothing runs on any more, what vanished was replaced, and a new agent starts."""
        self._boot += 1
        self._generation += 1
        self._gone.clear()
        self._claims.end()
        for name in list(self._pods):
            self._ends(name)
        while len(self.boards) < GPUS:
            self.boards.append(self._board(len(self.boards)))
        self._replicas.listed(len(self.boards))
        for one in self.boards:
            one.mend("boot", self.now_s)
            one.until_step = 0
            one.change(
                lost=False, fail={}, processes=(), recovery=0, fabric=_WELL, remap=Remap(), links=LINKS
            )
        self._restart(board, step)

    def _swap(self, board: Board, step: int) -> None:
        """One board is replaced while the node is off."""
        slot = self.boards.index(board)
        self.boards[slot] = self._board(slot)
        self._boots(board, step)

    def _host(self, board: Board, step: int) -> None:
        """Another machine under this name, at times as another Node."""
        self._machine += 1
        self.boards = [self._board(slot) for slot in range(GPUS)]
        self._node_uid += self.rng.random() < 0.5
        self._boots(board, step)

    def _reload(self, board: Board, step: int) -> None:
        """The driver is loaded anew under the agent, which resets all devices that are on the bus."""
        self._generation += 1
        self._is_reset = self.record.state == "Ready"
        for one in self.boards:
            one.change(remap=Remap())

    def _vanish(self, board: Board, step: int) -> None:
        """The last is listed no more, until it is replaced at the next boot."""
        if len(self.boards) == GPUS:
            gone = self.boards.pop()
            gone.hit("missing", self.now_s)
            self._gone[gone.uuid] = gone
            self._replicas.listed(len(self.boards))

    def _mig(self, board: Board, step: int) -> None:
        """Cut or whole, while the agent stands aside and nothing runs; what is shared stays whole."""
        self._claims.end()
        for name in list(self._pods):
            self._ends(name)
        is_cut = board.device.mig is not None and board.device.mig.enabled
        one = Instance(uuid=f"MIG-{board.uuid}-{step}", name="H100 MIG 7g.80gb", memory_mib=80_000)
        if self._replicas.each == 1 and board.answers:
            board.change(mig=Mig(enabled=not is_cut, instances=() if is_cut else (one,)))
        self._poll.close()
        aside = DeviceReport(state="Paused", message="the agent steps aside")
        self.record = observed(self.record, aside, self.now_s)
        pynvml.nvmlShutdown()

    def _uninstall(self, board: Board, step: int) -> None:
        """The agent goes with its object, at times with the kubelet, and the next one knows nothing."""
        self._is_probed = self._is_reported = False
        self._poll.close()
        self.state.remove_inventory(NODE)
        if self.rng.random() < 0.5:
            self._around.happens("kubelet", step, self._truth())
        self.record = Record(boot_id=f"b{self._boot}", node_uid=f"u{self._node_uid}")

    def _hang(self, board: Board, step: int) -> None:
        self.record = hung(self.record, 30.0)
        self._is_probed = False
        self._write()

    def _away(self, board: Board, step: int) -> None:
        """No agent for a while."""
        self._is_probed = False
        self._restart(board, step)

    def _pod_ends(self, board: Board, step: int) -> None:
        if self._pods:
            self._ends(self.rng.choice(sorted(self._pods)))

    def _claim(self, board: Board, step: int) -> None:
        """Of a scheduler that allocates devices by claims, for a board that nobody has."""
        if board.uuid not in (*self._pods.values(), *self._claims.held.values()):
            self._claims.take(board.uuid, [one.uuid for one in self.boards], self.rng)

    def _claim_ends(self, board: Board, step: int) -> None:
        if self._claims.held:
            self._claims.give_back(self.rng.choice(sorted(self._claims.held)))

    _KINDS: Final = {
        "error": _error,
        "error of another": _error,
        "xid": _xid,
        "lost": _lost,
        "recovery": _recovery,
        "fabric": _fabric,
        "link": _link,
        "rows": _rows,
        "foreign": _foreign,
        "restart": _restart,
        "boot": _boots,
        "swap": _swap,
        "host": _host,
        "reload": _reload,
        "vanish": _vanish,
        "mig": _mig,
        "uninstall": _uninstall,
        "hang": _hang,
        "away": _away,
        "pod ends": _pod_ends,
        "claim": _claim,
        "claim ends": _claim_ends,
    }

    # -- what is seen and done -----------------------------------------------------------------

    def _look(self) -> None:
        self._fake.play(
            Scenario(
                driver=Driver(generation=self._generation),
                devices=tuple(self._with_pods(board) for board in self.boards),
                events=tuple(self._events),
            )
        )
        if self._is_reset:
            for one in self.boards:
                one.mend("reset", self.now_s)
        self._is_reset = False
        while self._heard:
            board, kind = self._heard.pop()
            board.hit(kind, self.now_s)
        for board in self.boards:
            board.asked(self.now_s)
            self._is_named |= board.answers
        nvml = cast(Nvml, pynvml)
        report = probe(nvml, before_open=self._poll.close)
        self.found.probes += 1
        self.record = observed(self.record, report, self.now_s)
        for strike in self._poll.strikes() if report.state == "Ready" else ():
            self.record = struck(self.record, [strike.uuid] if strike.uuid else [], strike.kind, self.now_s)
        self._write()

    def _with_pods(self, board: Board) -> Device:
        mine = [name for name, uuid in self._pods.items() if uuid == board.uuid]
        processes = tuple(Process(pid=int(name[1:]), mib=10, pod=f"uid-{name}") for name in mine)
        return msgspec.structs.replace(board.device, processes=(*board.device.processes, *processes))

    def _object(self) -> GPUNode:
        grants = [
            Grant(namespace="team", name=name, resource=self._replicas.resource, ids=self._replicas.ids(uuid))
            for name, uuid in self._pods.items()
        ]
        return written_node(
            self.record, NODE, self.now_s, self._fake.pod_of, grants=grants if self._has_kubelet else None
        )

    def _write(self) -> None:
        """What the API server and then the scheduler make of it."""
        written = self._object()
        status = msgspec.to_builtins(written)["status"]
        refused = [*problems(status, status_schema(), "status")]
        told = parse_inventory(msgspec.json.decode(msgspec.json.encode(written), type=GPUNode))
        if refused or not isinstance(told, Inventory):
            self.found.failed_writes += 1
            self._tell(f"not written: {refused or told}")
            return
        self.state.at(self.now_s)
        self.state.set_inventory(told)
        self._is_reported = True
        self._told = {device.uuid: device for device in written.status.devices or ()}
        self._judge()
        self._judge_loss()

    def _place(self) -> None:
        """A pod for a device that is free, and the plugin's own choice of one."""
        view = self.state.snapshot().devices
        row = self.state.columns.row[NODE]
        if view is None or not self._is_probed or int(view.most[row]) < 1:
            return
        free = [
            u
            for u, room, size in zip(view.uuids[row], view.room[row], view.size[row], strict=False)
            if room == size
        ]
        held = {*self._pods.values(), *self._claims.held.values()}
        wished = self.rng.choice(free)
        board = self._known(wished)
        if board is None or wished in held or board.device.lost:
            self.found.wrong_bindings += 1
            self._tell(f"wrongly bound to {wished}")
            return
        choices = [
            b.uuid for b in self.boards if b.uuid not in held and not b.device.lost and not b.device.mig
        ]
        given = self.rng.choice(choices) if choices and self.rng.random() < 0.5 else wished
        self._starts(given, {DEVICES: wished})

    def _place_replica(self) -> None:
        """A pod for a part of a device, which the plugin chooses."""
        if self._replicas.free() < 1:
            return
        claimed = self._claims.held.values()
        choices = [
            b.uuid
            for b in self.boards
            if b.uuid not in claimed and not b.device.lost and self._room(b.uuid) > 0
        ]
        if choices:
            self._starts(self.rng.choice(choices), {})
        else:
            self.found.wrong_bindings += 1
            self._tell("bound where no device has room")

    def _room(self, uuid: str) -> int:
        return self._replicas.room(uuid, self._pods.values())

    def _starts(self, given: str, words: Mapping[str, str]) -> None:
        self._made += 1
        name = f"p{self._made}"
        self._pods[name] = given
        words = {"stowplan.dev/gang": name, "stowplan.dev/gang-min-member": "1", **words}
        of = self._replicas.shape()
        pod = pod_object(name, of=of, node=NODE, uid=f"uid-{name}", phase="Running", annotations=dict(words))
        self.state.set_pod(pod)

    def _ends(self, name: str) -> None:
        del self._pods[name]
        self.state.remove_pod(f"uid-{name}")

    # -- judging -------------------------------------------------------------------------------

    def _judge(self) -> None:
        """Whom the scheduler would evict now, each of whom must have a device that the table condemns."""
        for slot, _, pods in self.state.struck():
            for pod in pods:
                board = self._known(slot.uuid)
                is_right = board is not None and board.has_fatal_evidence(self.now_s)
                if not is_right or not self._is_holder(pod.name, slot.uuid):
                    self.found.wrong_evictions += 1
                    self._tell(f"wrongly evicted {pod.name} from {slot.uuid}: {slot.reason}")
                self.found.evictions += 1
                if pod.name in self._pods:
                    self._ends(pod.name)

    def _is_holder(self, name: str, uuid: str) -> bool:
        """Where nobody can see what the pod really has, its annotation is all there is."""
        truth = self._pods.get(name)
        answering = {b.uuid for b in self.boards if b.answers}
        return truth == uuid or not (self._has_kubelet or truth in answering)

    def _judge_loss(self) -> None:
        """A device that is well, and was long enough by the table, can be given."""
        if self.record.state == "Ready" and self._is_probed:
            for board in self.boards:
                since_s = max(self._looked_s, board.out_until_s())
                told = self._told.get(board.uuid)
                is_well = not board.until_step and not board.device.lost and since_s < self.now_s
                is_given = (
                    told is not None and told.state in ("Healthy", "Noted") and not told.foreign_processes
                )
                if is_well and not is_given:
                    self.found.lost_device_s += self.now_s - since_s
                    self._tell(f"lost {board.uuid}: {told and told.state} {told and told.reason}")
            self._judge_islands()
            ghosts = [uuid for uuid in self._told if self._known(uuid) is None]
            # While one does not tell who it is, it may be any that is absent.
            if ghosts and not any(board.device.fail for board in self.boards):
                self.found.ghosts += len(ghosts)
                self._tell(f"ghosts: {ghosts}")
            self._looked_s = self.now_s

    def _judge_islands(self) -> None:
        """Devices on one switch are neighbours unless a link is down, one is out, or one is cut."""
        whole = [board for board in self.boards if not board.is_cut]
        told = {self._told[board.uuid].island for board in whole if board.uuid in self._told}
        is_quiet = all(
            not board.until_step and not board.device.lost and not board.is_apart(self._looked_s)
            for board in self.boards
        )
        is_parted = any(board.lacks_a_link and board.answers for board in whole)
        if (is_quiet and len(whole) > 1 and (len(told) != 1 or told == {""})) or (is_parted and told != {""}):
            self.found.wrong_islands += 1
            self._tell(f"islands {told} where {'a link is down' if is_parted else 'none is'}")

    def _truth(self) -> Truth:
        return Truth(
            now_s=self.now_s,
            boards=self.boards,
            pods=len(self._pods),
            is_named=self._is_named,
            reports=len(self._told) if self._is_reported else 0,
        )

    def _known(self, uuid: str) -> Board | None:
        return next((b for b in self.boards if b.uuid == uuid), self._gone.get(uuid))

    def _tell(self, text: str) -> None:
        self.found.story.append(f"{self.now_s - T0:.0f} s: WRONG: {text}")
