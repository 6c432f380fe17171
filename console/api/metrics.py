"""The route `/metrics`: the catalogue of the metrics with their labels, and their text for Prometheus.

Comes in: the mailroom's counters, its rooms, the spool. Goes out: the exposition text. Never drops a counter silently:
one that is not declared here is counted in `relais_undeclared_counters`, and fails a test.
"""

import asyncio
import platform
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.api import rooms
from console.api.request import get_mailroom
from console.checks import spool
from console.notebook import search
from console.notebook.tables import BOUNDS
from mailroom import QuotaState, RoomState, StoreUnavailable, observations
from mailroom.holds import SourceHolds
from receiver.spool import SpoolState

VERSION = metadata.version("relais-router")


@dataclass(frozen=True)
class MetricDeclaration:
    """One metric."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    labels: tuple[str, ...] = ()
    #: The first word of the mailroom's counter (`received|shop|booking.created`); its other words are the labels. Of a
    #: histogram what the notebook measures.
    counter: str = ""


CATALOGUE = (
    MetricDeclaration(
        "relais_events_received", "counter", "Events kept and acknowledged.", ("source", "type"), "received"
    ),
    MetricDeclaration(
        "relais_events_duplicate",
        "counter",
        "Events that had come before; answered alike.",
        ("source", "type"),
        "duplicate",
    ),
    MetricDeclaration(
        "relais_events_other_content",
        "counter",
        "Events whose sender's id had come before with other content: kept as events of their own.",
        ("source",),
        "other_content",
    ),
    MetricDeclaration(
        "relais_events_without_id",
        "counter",
        "Events without a sender's id: only a body that repeats the latest within a minute counts as sent twice.",
        ("source",),
        "without_id",
    ),
    MetricDeclaration(
        "relais_events_repeated",
        "counter",
        "Events put again by us after a lost answer.",
        ("source", "type"),
        "repeated",
    ),
    MetricDeclaration(
        "relais_events_quarantined", "counter", "Authentic events that their model refuses.", ("source",), "quarantined"
    ),
    MetricDeclaration(
        "relais_fields_unread",
        "counter",
        "Optional fields that could not be read and were left out of their event, by source and field.",
        ("source", "field"),
        "unread",
    ),
    MetricDeclaration(
        "relais_requests_refused", "counter", "Requests refused, by the code of the answer.", ("reason",), "refused"
    ),
    MetricDeclaration(
        "relais_events_routed",
        "counter",
        "Events that the rules were asked about: matched, observed (by rules in mode: observe alone), unmatched, echo "
        "(Relais caused it itself), stale (nothing of it was sent) or unreadable.",
        ("source", "type", "outcome"),
        "routed",
    ),
    MetricDeclaration(
        "relais_delivery_attempts",
        "counter",
        "Attempts to deliver, by how they ended (nothing_done: it was so before, or nobody was there to write it at) "
        "and what followed (done, wait, dead, hold).",
        ("destination", "action", "outcome", "then"),
        "attempt",
    ),
    MetricDeclaration(
        "relais_look_up_failures",
        "counter",
        "Look-ups that made an event wait.",
        ("destination", "look_up", "outcome"),
        "look_up",
    ),
    MetricDeclaration(
        "relais_deliveries_observed",
        "counter",
        "Deliveries that rules in mode: observe would have made.",
        ("destination", "action"),
        "observed",
    ),
    MetricDeclaration("relais_boxes_freed", "counter", "Boxes freed from drains that died.", (), "buried_boxes"),
    MetricDeclaration(
        "relais_deliveries_coalesced", "counter", "Deliveries that a newer one replaced.", ("destination",), "coalesced"
    ),
    MetricDeclaration(
        "relais_deliveries_stale",
        "counter",
        "Deliveries that ended unsent: they waited as their rule said when their person left.",
        ("destination",),
        "stale",
    ),
    MetricDeclaration(
        "relais_by_hand",
        "counter",
        "What people decided: retry, drop, undrop, cancel, replay, release, skip, pause, resume, look, hold.",
        ("verb", "room"),
        "by_hand",
    ),
    MetricDeclaration("relais_books_refused", "counter", "Times a book with errors was saved.", (), "book_refused"),
    MetricDeclaration(
        "relais_event_kept_seconds",
        "histogram",
        "From the reception of an event until the store has it, by the clocks of both.",
        ("source",),
        "kept",
    ),
    MetricDeclaration(
        "relais_event_delivered_seconds",
        "histogram",
        "From the reception of an event until a delivery of it was done, with all waits and attempts.",
        ("source", "destination"),
        "delivered",
    ),
    MetricDeclaration(
        "relais_delivery_attempt_seconds",
        "histogram",
        "How long an attempt took at its destination, however it ended.",
        ("destination",),
        "took",
    ),
    MetricDeclaration(
        "relais_build_info", "gauge", "1, with the versions of Relais and Python.", ("version", "python")
    ),
    MetricDeclaration("relais_store_up", "gauge", "0 while the store does not answer: then only the spool is told."),
    MetricDeclaration("relais_spool_events", "gauge", "Events that wait in the spool of the console's host."),
    MetricDeclaration("relais_spool_bytes", "gauge", "Size of its files."),
    MetricDeclaration("relais_spool_seconds", "gauge", "Seconds since the oldest event that waits in it was received."),
    MetricDeclaration("relais_spool_aside_events", "gauge", "Events in it that the store refused again and again."),
    MetricDeclaration("relais_room_boxes", "gauge", "Boxes in a room, by state.", ("room", "state")),
    MetricDeclaration(
        "relais_room_overdue_seconds", "gauge", "Seconds that the oldest box is past its due time.", ("room",)
    ),
    MetricDeclaration(
        "relais_source_last_event_seconds",
        "gauge",
        "Seconds since the last webhook of a source was taken.",
        ("source",),
    ),
    MetricDeclaration(
        "relais_source_quiet", "gauge", "1 while a source is silent for unusually long, as was told.", ("source",)
    ),
    MetricDeclaration(
        "relais_source_held_seconds",
        "gauge",
        "Seconds since a person held a source: what comes of it waits. 0: it is not held.",
        ("source",),
    ),
    MetricDeclaration(
        "relais_room_held_seconds",
        "gauge",
        "Seconds that the first of a room's held boxes has waited for a person.",
        ("room",),
    ),
    MetricDeclaration("relais_room_paused", "gauge", "1 while a room is paused, by whomever.", ("room",)),
    MetricDeclaration(
        "relais_breaker_open", "gauge", "1 while a destination is taken to be down, and probed.", ("room",)
    ),
    MetricDeclaration(
        "relais_quota_used", "gauge", "Requests of a vendor's key that were used in its day or month.", ("credential",)
    ),
    MetricDeclaration(
        "relais_quota_limit", "gauge", "Requests that a vendor's key is good for in a day or month.", ("credential",)
    ),
    MetricDeclaration("relais_dead_letters", "gauge", "Dead letters that are kept."),
    MetricDeclaration("relais_dead_letters_seconds", "gauge", "Seconds since the oldest dead letter died."),
    MetricDeclaration("relais_quarantined_events", "gauge", "Events in quarantine."),
    MetricDeclaration("relais_drains_live", "gauge", "Drains that beat."),
    MetricDeclaration(
        "relais_undeclared_counters", "gauge", "Counters of the mailroom that this catalogue does not know."
    ),
)

STATES = ("ready", "leased", "waiting", "held", "suspect", "blocked")


@dataclass(frozen=True)
class Snapshot:
    """What mailroom and spool said at one moment."""

    counts: Mapping[str, int] = field(default_factory=dict)
    rooms: Iterable[RoomState] = ()
    quotas: Iterable[QuotaState] = ()
    dead: int = 0
    #: Milliseconds since the oldest dead letter died.
    dead_for: int = 0
    quarantined: int = 0
    #: Source -> when its last webhook was taken, ms.
    came: Mapping[str, int] = field(default_factory=dict)
    #: What was measured: kept, delivered or took -> labels, parted by | -> bound in ms (or more, sum) -> how many.
    measured: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    #: Sources of whose silence people were told.
    quiet: Collection[str] = ()
    #: Source that a person holds -> since when, ms.
    held: Mapping[str, int] = field(default_factory=dict)
    drains: int = 0
    #: Whether the store answered; else all but the spool is unknown.
    up: bool = True
    #: None: there is no spool.
    spool: SpoolState | None = None
    #: When that was, ms since 1970.
    now: int = 0


def write_text(snapshot: Snapshot) -> bytes:
    """Return the exposition text."""
    registry = CollectorRegistry()
    registry.register(Families(snapshot))
    return generate_latest(registry)


def undeclared(counts: Mapping[str, int]) -> list[str]:
    """Return the counters that no metric declares."""
    known = {each.counter: len(each.labels) for each in CATALOGUE if each.kind == "counter"}
    return [name for name in counts if known.get(name.split("|")[0]) != name.count("|")]


class Families(Collector):
    """The metric families of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: the registry is asked once."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield all families in the order of the catalogue."""
        odd = set(undeclared(self.snapshot.counts))
        for declared in CATALOGUE:
            if declared.kind == "counter":
                yield self._counter(declared, odd)
            elif declared.kind == "histogram":
                yield self._histogram(declared)
            else:
                yield self._gauge(declared)

    def _counter(self, declared: MetricDeclaration, odd: set[str]) -> Metric:
        family = CounterMetricFamily(declared.name, declared.about, labels=declared.labels)
        for name, count in sorted(self.snapshot.counts.items()):
            word, *labels = name.split("|")
            if word == declared.counter and name not in odd:
                family.add_metric(labels, count)
        return family

    def _histogram(self, declared: MetricDeclaration) -> Metric:
        family = HistogramMetricFamily(declared.name, declared.about, labels=declared.labels)
        for names, counts in sorted(self.snapshot.measured.get(declared.counter, {}).items()):
            buckets, seen = [], 0
            for bound in BOUNDS:
                seen += counts.get(str(bound), 0)
                buckets.append((str(bound / 1000), float(seen)))
            buckets.append(("+Inf", float(seen + counts.get("more", 0))))
            family.add_metric(names.split("|"), buckets, counts.get("sum", 0) / 1000)
        return family

    def _gauge(self, declared: MetricDeclaration) -> Metric:
        family = GaugeMetricFamily(declared.name, declared.about, labels=declared.labels)
        for labels, value in self._values(declared.name):
            family.add_metric(labels, value)
        return family

    def _values(self, name: str) -> Iterator[tuple[tuple[str, ...], float]]:
        seen = self.snapshot
        if name == "relais_build_info":
            yield (VERSION, platform.python_version()), 1.0
        elif name.startswith("relais_spool_"):
            if seen.spool is not None:
                yield (), _of_spool(seen.spool, name, seen.now)
        elif name == "relais_store_up":
            yield (), float(seen.up)
        elif seen.up:
            yield from self._stored(name)

    def _stored(self, name: str) -> Iterator[tuple[tuple[str, ...], float]]:
        seen = self.snapshot
        match name:
            case "relais_room_boxes":
                for room in seen.rooms:
                    yield from (((room.name, state), getattr(room, state)) for state in STATES)
            case "relais_room_overdue_seconds":
                yield from (((room.name,), room.overdue / 1000) for room in seen.rooms)
            case "relais_room_held_seconds":
                yield from (((room.name,), room.held_for / 1000) for room in seen.rooms)
            case "relais_room_paused":
                yield from (((room.name,), float(bool(room.paused))) for room in seen.rooms)
            case "relais_quota_used" | "relais_quota_limit":
                word = name.rpartition("_")[2]
                yield from {(quota.name,): float(getattr(quota, word)) for quota in seen.quotas}.items()
            case "relais_source_last_event_seconds":
                yield from (((source,), max(0, seen.now - at) / 1000) for source, at in seen.came.items())
            case "relais_source_quiet":
                yield from (((source,), float(source in seen.quiet)) for source in seen.came)
            case "relais_source_held_seconds":
                since = dict.fromkeys(seen.came, seen.now) | dict(seen.held)
                yield from (((source,), max(0, seen.now - at) / 1000) for source, at in since.items())
            case "relais_breaker_open":
                pauses = ((room.name, rooms.read_pause(room)) for room in seen.rooms)
                yield from (((name,), float(pause is not None and pause.by == "breaker")) for name, pause in pauses)
            case "relais_dead_letters":
                yield (), seen.dead
            case "relais_dead_letters_seconds":
                yield (), seen.dead_for / 1000
            case "relais_quarantined_events":
                yield (), seen.quarantined
            case "relais_drains_live":
                yield (), seen.drains
            case "relais_undeclared_counters":
                yield (), len(undeclared(seen.counts))


def _of_spool(found: SpoolState, name: str, now: int) -> float:
    match name:
        case "relais_spool_bytes":
            return found.size
        case "relais_spool_seconds":
            return max(0, now - found.oldest) / 1000 if found.events else 0.0
        case "relais_spool_aside_events":
            return found.aside
    return found.events


async def show_metrics(request: Request) -> Response:
    """Answer the metrics for Prometheus; while the store is away, those of the spool."""
    mailroom = get_mailroom(request)
    waiting = await asyncio.to_thread(spool.state, request.app.state.readiness.spool)
    now = time.time_ns() // 1_000_000
    try:
        snapshot = Snapshot(
            spool=waiting,
            now=now,
            counts=await mailroom.counts(),
            rooms=await mailroom.rooms(),
            quotas=await mailroom.quotas(),
            dead=await mailroom.dead_count(),
            dead_for=await mailroom.dead_for(),
            quarantined=await mailroom.quarantined(),
            came=await mailroom.came(),
            quiet=await observations.find_told(mailroom),
            held={source: hold.at for source, hold in (await SourceHolds(mailroom).all()).items()},
            drains=request.app.state.watcher.drains,
            measured=await asyncio.to_thread(search.histograms, request.app.state.notebook),
        )
    except StoreUnavailable:
        snapshot = Snapshot(up=False, spool=waiting, now=now)
    return Response(write_text(snapshot), media_type="text/plain; version=0.0.4; charset=utf-8")


ROUTES = (Route("/metrics", show_metrics),)
