"""Single things that go wrong in a course."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from simulations.faults.nodes import Nodes
from simulations.faults.process import Replica
from simulations.faults.server import NODES, PODS
from simulations.faults.users import OURS
from simulations.life.pods import Site

#: How long evictions are refused.
REFUSED_S: Final = 90.0


def strike(fault: str, replicas: Sequence[Replica], nodes: Nodes, site: Site, chance: random.Random) -> None:
    """Let it happen, now. Spells of weather come by themselves."""
    leaders = [replica for replica in replicas if replica.is_leading] or list(replicas[:1])
    match fault:
        case "kill":
            for replica in leaders:
                replica.crash()
        case "stop":
            for replica in leaders:
                replica.stop()
        case "break":
            site.story.tell("course", "watches break, and their history is gone")
            site.server.store.forget()
            for replica in replicas:
                if replica.link is not None:
                    replica.link.break_streams()
        case "silence":
            name = chance.choice(sorted(site.server.store.at(NODES).objects))[1]
            site.story.tell("course", f"the kubelet of {name} is silent")
            nodes.silence(name)
            site.loop.call_later(chance.uniform(1.0, 20.0), nodes.speak, name)
        case "refuse":
            site.story.tell("course", "every eviction is refused")
            site.server.may_evict = lambda pod: False
            site.loop.call_later(REFUSED_S, setattr, site.server, "may_evict", lambda pod: True)
        case "pod fails" | "pod goes":
            _lose(fault, site, chance)
        case _:
            pass


def _lose(fault: str, site: Site, chance: random.Random) -> None:
    store = site.server.store
    running = sorted(
        key
        for key, stored in store.at(PODS).objects.items()
        if (pod := stored.read())["status"]["phase"] == "Running" and pod["spec"]["schedulerName"] == OURS
    )
    if not running:
        return
    key = chance.choice(running)
    site.story.tell("course", f"{fault}: {key[1]}")
    if fault == "pod fails":
        store.change(PODS, key, lambda pod: pod["status"].update(phase="Failed"))
    else:
        site.server.leave(key)
