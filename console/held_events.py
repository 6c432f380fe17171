"""What `relais sources held`, `release` and `discard` share: choosing among the events of a held source.

Comes in: options of the command line. Goes out: what the console says of the events that are meant, or a job that
decides about them. Never decides anything without a yes.
"""

from collections.abc import Sequence
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


def ask(client: ConsoleClient, source: str, kind: str, before: int, events: Sequence[str]) -> Any:
    """Return what waits of a source and was chosen, each event."""
    chosen = bulk.query({"type": kind, "before": before}, ids=",".join(events), items="true")
    return client.get(f"{path_of(source, 'held')}?{chosen}")


def decide(
    verb: str, source: str, kind: str, before: int, events: Sequence[str], *, yes: bool, as_json: bool, **more: Any
) -> None:
    """Show what was chosen, ask, `release` or `discard` it, tell. `more`: reason, and how it is done."""
    order = bulk.write_order(verb, "held", {"source": source, "type": kind, "before": before}, events, **more)
    would = "would be routed" if verb == "release" else "would be given up for good"
    bulk.carry_out(order, would, "held events", yes=yes, as_json=as_json)
