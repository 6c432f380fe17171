"""What `relais sources held`, `release` and `discard` share: choosing among the events of a held source.

Comes in: options of the command line. Goes out: the events that the console names and that were chosen, and what would
have to wait for others. Never decides anything.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import click

from console import bulk
from console.client import ConsoleClient

#: The options that choose.
filters = bulk.add_options(
    click.option("--type", "kind", default="", help="Only of this type."),
    click.option(
        "--before", type=bulk.Since(), default=0, help="Only received before: 2h (ago), 2026-11-21T10:00 (UTC)."
    ),
    click.option("--event", "events", multiple=True, help="Only this event; may be given several times."),
)


def path_of(source: str, verb: str) -> str:
    """Return the path of the console's route for a source."""
    return f"/sources/{quote(source, safe='')}/{verb}"


def ask(client: ConsoleClient, source: str) -> Any:
    """Return what waits of a source, each event."""
    return client.get(f"{path_of(source, 'held')}?items=true")


def choose(
    items: Sequence[Mapping[str, Any]], kind: str, before: int, events: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Return those that are meant, in their order."""
    return [
        one
        for one in items
        if (not kind or one["type"] == kind)
        and (not before or datetime.fromisoformat(one["received"]).timestamp() * 1000 < before)
        and (not events or one["id"] in events)
    ]


def group(source: str, chosen: Sequence[Mapping[str, Any]], reason: str) -> list[dict[str, Any]]:
    """Return what was chosen by type, as `bulk` shows causes."""
    by_type: dict[str, list[Mapping[str, Any]]] = {}
    for one in chosen:
        by_type.setdefault(one["type"], []).append(one)
    return [
        {
            "source": source,
            "code": reason or "held",
            "type": kind,
            "count": len(its),
            "oldest": its[0]["received"],
            "newest": its[-1]["received"],
            "sample": its[0]["id"],
        }
        for kind, its in by_type.items()
    ]


def decide(
    client: ConsoleClient,
    source: str,
    verb: str,
    would: str,
    chosen: Sequence[Mapping[str, Any]],
    *,
    reason: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Show what was chosen, ask, `release` or `discard` it, tell. Status 1 where not all was done."""
    path = path_of(source, f"held/{verb}")
    work = bulk.BulkWork(
        would,
        lambda ids: client.post(path, {"items": list(ids), "reason": reason}),
        str,
        [one["id"] for one in chosen],
        group(source, chosen, reason),
        "held events",
    )
    bulk.carry_out(work, client, yes=yes, as_json=as_json)


def ahead_of(items: Sequence[Mapping[str, Any]], chosen: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return what was not chosen and stands before what was: that would have to wait for it."""
    mine = {one["id"] for one in chosen}
    before = {other for one in chosen for other in one["behind"]} - mine
    return [one for one in items if one["id"] in before]
