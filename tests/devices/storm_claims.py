"""Resource claims of other schedulers in a storm: they take boards that nobody has, and give them back."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from scheduler.model.device_claims import DeviceClaim, DeviceSlice
from scheduler.state import ClusterState


class Claims:
    """``held``: the UUID of the board that each claim has, by the claim's name."""

    def __init__(self, state: ClusterState, node: str) -> None:
        self.held: dict[str, str] = {}
        self._state = state
        self._node = node
        self._made = 0

    def take(self, uuid: str, boards: Sequence[str], rng: Random) -> None:
        """A board is allocated to a claim; its driver tells of all boards before, after, or not at all."""
        self._made += 1
        name = f"c{self._made}"
        self.held[name] = uuid
        tells = rng.choice(("before", "after", "never"))
        if tells == "before":
            self._tell(boards)
        users = (("user", "uid-user"),) if rng.random() < 0.5 else ()
        claim = DeviceClaim(
            namespace="team", name=name, devices=((self._node, f"gpu-{boards.index(uuid)}"),), consumers=users
        )
        self._state.set_device_claim(claim)
        if tells == "after":
            self._tell(boards)
        elif tells == "never":
            self._state.remove_device_slice(self._node)

    def give_back(self, name: str) -> None:
        del self.held[name]
        self._state.remove_device_claim("team", name)

    def end(self) -> None:
        """The node is emptied."""
        for name in list(self.held):
            self.give_back(name)

    def _tell(self, boards: Sequence[str]) -> None:
        devices = {f"gpu-{i}": (uuid,) for i, uuid in enumerate(boards)}
        told = DeviceSlice(name=self._node, pool=self._node, generation=1, node=self._node, devices=devices)
        self._state.set_device_slice(told)
