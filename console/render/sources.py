"""Sources as a person reads them.

Comes in: the JSON of `/sources` and `/sources/drift`. Goes out: tables for the terminal, and lines about what is odd.
Never asks anybody.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from console.render.rooms import age
from console.render.tables import duration, say_count

Json = Mapping[str, Any]


def draw(found: Sequence[Json]) -> Group:
    """Return a row for each source, and below what is to be said of some."""
    table = Table("source", "kind", "last", "usual gap", "today", "refused", "", box=None, pad_edge=False)
    for column in table.columns[4:6]:
        column.justify = "right"
    for one in found:
        today, gap = one["today"], one["usual_gap_seconds"]
        refused = sum(today["refused"].values())
        table.add_row(
            one["source"],
            one["kind"],
            "never" if one["last_event"] is None else f"{duration(one['last_event_seconds'] * 1000)} ago",
            "-" if gap is None else duration(gap * 1000),
            str(today["taken"]),
            Text(str(refused), style="red" if refused else ""),
            Text("held" if one["hold"] else "quiet" if one["quiet"] else "", style="red"),
        )
    return Group(table, *(Text(f"{one['source']}: {line}", style="yellow") for one in found for line in describe(one)))


def describe(one: Json) -> Iterator[str]:
    """Yield what is odd about a source, in words."""
    today = one["today"]
    if hold := one["hold"]:
        by, why = (f" by {hold['by']}" if hold["by"] else ""), (f": {hold['why']}" if hold["why"] else "")
        until = f" until {hold['until'][:16]}Z" if hold["until"] else ""
        yield f"held{by}{until}{why}"
    if one["quiet"]:
        yield f"quiet: unusually long nothing came, since {one['last_event'][:16]}Z"
    if today["refused"]:
        yield f"refused today: {_count(today['refused'])}"
    if today["quarantined"]:
        yield f"{today['quarantined']} in quarantine today (relais quarantine list)"
    for place in one["empty_places"]:
        of = f"{place['events']:,} of {place['events']:,} events since {place['since']}"
        yield f"{place['key']}: {place['place']} found nothing in {of}; is the place right?"
    if one["unread"]:
        yield f"not read today: {_count(one['unread'])}"
    if one["drift"]:
        yield f"{say_count(one['drift'], 'change')} in what it sends (relais sources drift {one['source']})"
    if len(one["secrets"]) > 1:
        yield ", ".join(
            f"{secret['name']} verified {age(secret['last_verified']) + ' ago' if secret['last_verified'] else 'never'}"
            for secret in one["secrets"]
        )


def draw_drift(found: Sequence[Json]) -> Group:
    """Return what changed in what sources send, source by source."""
    parts: list[RenderableType] = []
    for one in found:
        since = min((its["first"] for its in one["types"] if its["first"]), default="")
        against = f"accepted {one['accepted'][:16]}Z" if one["accepted"] else f"watched since {since[:16]}Z"
        says = f"{say_count(len(one['changes']), 'change')}, {against}" if since else "nothing came yet"
        parts.append(Text(f"{one['source']}: {says}", style="bold"))
        if one["left_out"]:
            more = "  it has more names of fields than are kept; is an object keyed by values?"
            parts.append(Text(more, style="yellow"))
        if one["changes"]:
            parts.append(_table_of_changes(one["changes"]))
    return Group(*parts or [Text("The book in force has no source.")])


def _table_of_changes(changes: Sequence[Json]) -> Table:
    table = Table("type", "field", "", "", "first", "last", box=None, pad_edge=False)
    for column in table.columns[4:]:
        column.no_wrap = True
    for one in changes:
        first, last = (one[word][5:16].replace("T", " ") for word in ("first", "last"))
        table.add_row(Text(one["type"]), Text(one["field"] or "-"), one["what"], Text(one["says"]), first, last)
    return table


def _count(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in sorted(counts.items(), key=lambda each: -each[1]))
