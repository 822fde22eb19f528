"""What the demo submits, in order, and what must become of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"
NODES = EXAMPLES / "clusters" / "demo.yaml"
NAMESPACE = "demo"
SCHEDULER = "stowplan"

#: whole: at least its minimum stands. never: wholly pending, and more nodes would be needed.
#: alone: a pod of another scheduler, on which nothing of ours appears.
Outcome = Literal["whole", "never", "alone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One manifest; ``subjects`` are the gangs and single pods in it."""

    file: str
    says: str
    subjects: tuple[str, ...]
    outcome: Outcome
    #: Whether its reason to wait must be seen before it may start.
    waits_first: bool = False

    def manifests(self) -> list[dict[str, object]]:
        """The objects of the file."""
        return manifests(self.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """One team borrows what another leaves idle, and gives it back when asked. Teams are namespaces."""

    quotas: str
    borrows: str
    takes_back: str
    borrower: str
    lender: str
    #: The lender's gang, which needs its whole guarantee.
    gang: str
    #: The GPU model of the guarantees, as a TeamQuota spells it, and as a node's label does.
    model: str
    product: str


def manifests(file: str) -> list[dict[str, object]]:
    """The objects of an example file. Lists are opened."""
    found: list[dict[str, object]] = []
    for document in yaml.safe_load_all((EXAMPLES / file).read_text(encoding="utf-8")):
        found += document["items"] if document["kind"] == "List" else [document]
    return found


ACTS = (
    Act(
        file="01-sixteen-pods.yaml",
        says="a gang of 16 pods, all H100 GPUs, for 12 s",
        subjects=("pretrain",),
        outcome="whole",
    ),
    Act(
        file="02-driver-and-workers.yaml",
        says="one driver and four 8-GPU workers",
        subjects=("finetune",),
        outcome="whole",
    ),
    Act(
        file="03-waits-for-another.yaml",
        says="fits once pretrain has ended",
        subjects=("evaluate",),
        outcome="whole",
        waits_first=True,
    ),
    Act(
        file="04-never-fits.yaml",
        says="five 8-GPU pods, four such nodes",
        subjects=("oversized",),
        outcome="never",
        waits_first=True,
    ),
    Act(
        file="05-native-podgroup.yaml",
        says="Kubernetes' own PodGroup",
        subjects=("sweep",),
        outcome="whole",
    ),
    Act(
        file="06-singles.yaml",
        says="pods of their own",
        subjects=("notebook-0", "notebook-1", "notebook-2", "tokenize"),
        outcome="whole",
    ),
    Act(
        file="07-another-scheduler.yaml",
        says="a pod of another scheduler",
        subjects=("not-ours",),
        outcome="alone",
    ),
)

LOAN = Loan(
    quotas="09-two-teams.yaml",
    borrows="10-borrows.yaml",
    takes_back="11-takes-back.yaml",
    borrower="vision",
    lender="speech",
    gang="transcribe",
    model="l4",
    product="NVIDIA-L4",
)
