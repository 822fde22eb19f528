"""How the watches fare, one series a resource type."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from scheduler.kube.decoding import ChangeType


class WatchMetrics:
    """The metrics of all reflectors of a process, in the caller's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("resource",)
        self._age = Gauge(
            "stowplan_watch_age_seconds",
            "Time since the view was last known to be current",
            labels,
            registry=registry,
        )
        self._objects = Gauge("stowplan_watch_objects", "Objects in the view", labels, registry=registry)
        self._lists = Counter("stowplan_watch_lists", "Complete lists read", labels, registry=registry)
        self._breaks = Counter(
            "stowplan_watch_breaks", "Lists and watches that failed or stalled", labels, registry=registry
        )
        self._stale = Counter(
            "stowplan_watch_stale_events", "Events that were older than the view", labels, registry=registry
        )
        self._odd = Counter(
            "stowplan_watch_undecodable", "Objects that break their type", labels, registry=registry
        )
        self._events = Counter(
            "stowplan_watch_events", "Watch events by type", ("resource", "type"), registry=registry
        )

    def of(self, resource: str, *, age_s: Callable[[], float], objects: Callable[[], float]) -> Series:
        """The series of one resource type. age_s and objects are read whenever metrics are."""
        self._age.labels(resource).set_function(age_s)
        self._objects.labels(resource).set_function(objects)
        return Series(
            lists=self._lists.labels(resource),
            breaks=self._breaks.labels(resource),
            stale=self._stale.labels(resource),
            odd=self._odd.labels(resource),
            events={
                "ADDED": self._events.labels(resource, "ADDED"),
                "MODIFIED": self._events.labels(resource, "MODIFIED"),
                "DELETED": self._events.labels(resource, "DELETED"),
            },
        )


class Series:
    """Counters of one resource type."""

    __slots__ = ("breaks", "events", "lists", "odd", "stale")

    def __init__(
        self,
        *,
        lists: Counter,
        breaks: Counter,
        stale: Counter,
        odd: Counter,
        events: dict[ChangeType, Counter],
    ) -> None:
        self.lists = lists
        self.breaks = breaks
        self.stale = stale
        self.odd = odd
        self.events = events
