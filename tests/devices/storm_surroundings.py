"""Around a node's devices in a storm: how it is called, what is said of places, and what is proven.

Labellers and clouds spell one model in many ways, plugins and kubelets restart, and a labeller that cannot
ask writes a placeholder. Judged: the model and what a team is counted, every "NeverFits", and every domain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from scheduler.model.devices import WHOLE_GPU, DeviceAsk
from scheduler.model.gpu_names import counted_as, wider
from scheduler.model.gpu_resources import SHARED
from scheduler.model.objects import Shape
from scheduler.model.plan import Budget, Plan, Policy
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import gang, node, pod, shape
from tests.devices.storm_boards import Board, Outcome
from tests.devices.storm_replicas import Replicas
from tests.teams.worlds import quota

MODEL: Final = "h100-80gb"
FAMILY: Final = "h100"
#: How labellers and clouds call the board of these storms; the last says nothing.
SPELLINGS: Final[tuple[Mapping[str, str], ...]] = (
    {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.memory": "81559"},
    {"karpenter.k8s.aws/instance-gpu-name": "h100", "karpenter.k8s.aws/instance-gpu-memory": "81920"},
    {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"},
    {"gpu.nvidia.com/class": "H100_NVLINK_80GB", "gpu.nvidia.com/vram": "80"},
    {"doks.digitalocean.com/gpu-model": "h100"},
    {"crusoe.ai/instance.class": "h100-80gb-sxm-ib.8x"},
    {"node.kubernetes.io/instance-type": "p5.48xlarge"},
    {"k8s.amazonaws.com/accelerator": "nvidia-h100"},
    {},
)
BLOCK: Final = "oci.oraclecloud.com/rdma.local_block_id"
CLIQUE: Final = "nvidia.com/gpu.clique"
#: What labellers write that could not ask; the last is a label that is not there.
UNSAID: Final = ("no-imds-data", "unknown", "N-A", " none ", "null", "")
RACKS: Final = 4
#: More nodes than one NVLink domain can have.
MANY: Final = 73
#: A kubelet counts what a plugin offered for so long; what was there a minute ago is not gone for ever.
GRACE_S: Final = 300.0
MINUTE_S: Final = 60.0
_BUDGET: Final = Budget(per_gang=1.0, total=3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Of one moment. is_named: a board told its name, ever. reports: boards in a report."""

    now_s: float
    boards: Sequence[Board]
    pods: int
    is_named: bool
    reports: int


class Surroundings:
    def __init__(self, seed: int, state: ClusterState, name: str, replicas: Replicas, found: Outcome) -> None:
        # Of its own, so that storms without it are as they would be.
        self._rng = Random(f"surroundings {seed}")
        self._state, self._name, self._replicas, self._found = state, name, replicas, found
        self._spelled: Mapping[str, str] = {}
        self._back_step, self._gone_s = 0, -1e9
        self._by_claims = False
        self._real = [f"rack-{i // 2}" for i in range(RACKS)]
        state.set_namespace("team", {})
        state.set_team_quota(quota("team", {"limit": {"gpuModels": {FAMILY: 64}}}))
        self._spell()

    def settle(self, step: int, now_s: float) -> None:
        """What was to be back by now is; a kubelet counts what is gone for a while only."""
        if self._back_step and step >= self._back_step:
            self._back_step = 0
            self._replicas.offer()
        elif self._back_step and now_s >= self._gone_s + GRACE_S:
            self._replicas.offer(is_there=False)

    # -- what happens --------------------------------------------------------------------------

    def happens(self, what: str, step: int, truth: Truth) -> None:
        self.KINDS[what](self, step, truth)

    def _spell(self, step: int = 0, truth: Truth | None = None) -> None:
        """Another labeller, or none: the node's model is what it was."""
        self._spelled = self._rng.choice(SPELLINGS)
        labels = dict(self._spelled)
        product = labels.get("nvidia.com/gpu.product")
        if self._replicas.each > 1 and product and self._replicas.resource == WHOLE_GPU:
            labels["nvidia.com/gpu.product"] = f"{product}-SHARED"
        self._replicas.labels = labels
        # Where a name or a label shows sharing, some labellers do not say of how many.
        is_shown = product or self._replicas.resource.endswith(SHARED)
        self._replicas.is_said = not (is_shown and self._rng.random() < 0.5)
        self._replicas.offer_again()

    def _plugin(self, step: int, truth: Truth) -> None:
        """The device plugin is gone for a while, and the kubelet counts its devices for some of that."""
        self._leave(step, truth, self._replicas.boards * self._replicas.each)

    def _kubelet(self, step: int, truth: Truth) -> None:
        """The kubelet begins anew, and knows of no device before the plugin comes back to it."""
        self._leave(step, truth, 0)

    def _leave(self, step: int, truth: Truth, counted: int) -> None:
        if not self._back_step:
            self._gone_s = truth.now_s
        self._back_step = step + self._rng.randint(1, 3)
        self._replicas.offer(is_there=False, counted=counted)

    def _classes(self, step: int, truth: Truth) -> None:
        """A DeviceClass stands for what the plugin offers, or does not any more."""
        self._by_claims = not self._by_claims
        if self._by_claims:
            self._state.set_device_class("gpu", (self._replicas.resource,))
        else:
            self._state.remove_device_class("gpu")

    def _imds(self, step: int, truth: Truth) -> None:
        """A labeller writes where racks are, and a placeholder where it cannot ask."""
        unsaid = self._rng.choice(UNSAID)
        said = [rack if self._rng.random() < 0.5 else unsaid for rack in self._real]
        for i, value in enumerate(said):
            self._state.set_node(node(f"r{i}", gpu=0, labels={BLOCK: value} if value else {}))
        together = [said[i] == self._real[i] and said[i + 1] == self._real[i] for i in range(0, RACKS, 2)]
        self._judge_domain(BLOCK, any(together), {f"r{i}": rack for i, rack in enumerate(self._real)}, said)
        for i in range(RACKS):
            self._state.remove_node(f"r{i}")

    def _cliques(self, step: int, truth: Truth) -> None:
        """As many nodes as an NVLink domain can have are one by a label; one more, and none of them is."""
        count = MANY - self._rng.randint(0, 1)
        for i in range(count):
            self._state.set_node(node(f"r{i}", gpu=0, labels={CLIQUE: "0.1"}))
        self._judge_domain(CLIQUE, count < MANY, {f"r{i}": "0.1" for i in range(count)}, (str(count),))
        for i in range(count):
            self._state.remove_node(f"r{i}")

    KINDS: Final[Mapping[str, Callable[[Surroundings, int, Truth], None]]] = {
        "labels": _spell,
        "plugin": _plugin,
        "kubelet": _kubelet,
        "classes": _classes,
        "imds": _imds,
        "cliques": _cliques,
    }

    # -- judging -------------------------------------------------------------------------------

    def judge(self, truth: Truth) -> None:
        self._state.at(truth.now_s)
        self._judge_model(truth)
        self._judge_words(truth)

    def _judge_model(self, truth: Truth) -> None:
        """Whoever tells it, it is one model; what a team has of it is what its pods have."""
        snapshot = self._state.snapshot(truth.now_s)
        model = counted_as(snapshot.nodes[self._state.columns.row[self._name]].labels)
        is_told = bool(self._spelled) or truth.is_named
        if is_told and (MODEL not in (model, *wider(model)) or "vgpu" in model):
            self._found.wrong_models += 1
            self._tell(truth, f"the model is {model or 'none'} by {dict(self._replicas.labels)}")
        assert snapshot.teams is not None
        used = snapshot.teams.usage.get("team", {}).get(f"gpu/{FAMILY}", 0)
        held = truth.pods * 1_000 // self._replicas.each
        if is_told and used != held:
            self._found.wrong_models += 1
            self._tell(truth, f"{used} of {FAMILY} are counted for {held} by {dict(self._replicas.labels)}")

    def _judge_words(self, truth: Truth) -> None:
        """What the node has, or had a minute ago, never fits by no proof; what is more than that by one."""
        whole = sum(not board.is_cut for board in truth.boards)
        is_there = not self._back_step or truth.now_s <= self._gone_s + MINUTE_S
        is_known = is_there or self._replicas.counted or truth.reports == len(truth.boards)
        most = whole * self._replicas.each
        if is_known and most:
            asked = self._rng.randint(1, most)
            self._judge_word(truth, asked, "NeverFits", is_wrong=True)
            if self._replicas.each == 1:
                self._judge_word(truth, 0, "NeverFits", is_wrong=True)
        # Unless claims could give them, which nobody counts.
        too_many = self._replicas.most * self._replicas.each + self._rng.randint(1, 9)
        self._judge_word(truth, too_many, "NeverFits", is_wrong=self._by_claims)

    def _judge_word(self, truth: Truth, asked: int, reason: str, *, is_wrong: bool) -> None:
        """asked: how many devices; 0 for a half of one."""
        of = shape(ask=DeviceAsk(milli=500)) if not asked else self._shape(asked)
        self._state.set_pod(pod("asks", of=of, namespace="others"))
        done = self._planned(truth.now_s)
        self._state.remove_pod("uid-others-asks")
        said = [(one.reason, one.message) for one in done.verdicts]
        if any((one == reason) == is_wrong for one, _ in said) or (not is_wrong and not said):
            self._found.wrong_words += 1
            self._tell(truth, f"asked for {asked or 'a half'}: {said or 'placed'}")

    def _judge_domain(self, label: str, is_one: bool, real: Mapping[str, str], said: Sequence[str]) -> None:
        """Two pods that fill a node each and want to be in one domain."""
        for one in gang("asks", 2, of=shape(cpu=60_000), namespace="others"):
            words = (*one.annotations, ("stowplan.dev/topology-required", label))
            self._state.set_pod(replace(one, annotations=words))
        places = [a.node for place in self._planned(0.0).places for a in place.assignments]
        for i in range(2):
            self._state.remove_pod(f"uid-others-asks-{i}")
        found = {real.get(each, "elsewhere") for each in places}
        if bool(places) != is_one or len(found) > 1:
            self._found.wrong_domains += 1
            self._found.story.append(f"WRONG: by {label}={list(said)} placed on {places}")

    def _shape(self, asked: int) -> Shape:
        return shape(requests=tuple(sorted((*shape().requests, (self._replicas.resource, asked)))))

    def _planned(self, at_s: float) -> Plan:
        return plan(self._state.snapshot(at_s), Policy(), _BUDGET)

    def _tell(self, truth: Truth, text: str) -> None:
        self._found.story.append(f"at {truth.now_s:.0f}: WRONG: {text}")
