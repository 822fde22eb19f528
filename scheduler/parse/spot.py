"""A pod's wish about nodes that the provider may take back at short notice."""

from __future__ import annotations

from typing import Final

from scheduler.model.objects import SpotWish
from scheduler.parse.refusal import Refusal, shown

SPOT: Final = "stowplan.dev/spot"


def parse_spot(word: str | None) -> SpotWish:
    """What the annotation says; nothing where it is not given. Raises Refusal for any other word."""
    match word:
        case None:
            return ""
        case "prefer":
            return "prefer"
        case "avoid":
            return "avoid"
        case other:
            told = f"{shown(other)} is unknown: use prefer or avoid, or take it off"
            raise Refusal(f"metadata.annotations[{SPOT}]", told)
