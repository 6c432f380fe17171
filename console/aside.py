"""What `relais quarantine`, `relais refused` and `relais events reroute` share: filters, lists, looks, decisions.

Comes in: which shelf, and what was chosen on the command line. Goes out: what the console says of it. Never takes
anything in or gives it up without a yes.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import click

from console import bulk, json_output
from console.client import ConsoleClient
from console.render import rooms, tables
from mailroom.operator import Shelf

#: What things are called where they lie.
NOUNS: Mapping[Shelf, str] = {
    "quarantine": "events in quarantine",
    "unmatched": "events that no rule wanted",
    "refused": "refused requests",
}

#: The options that choose.
filters = bulk.add_options(
    click.option("--source", default="", help="Only from this source."),
    click.option("--type", default="", help="Only of this type."),
    click.option("--code", default="", help="Only with this reason: a field, `no_rule`, `wrong_signature`."),
    click.option(
        "--since", type=bulk.Since(), default=0, help="Only since then: 2h, 3d, 2026-11-21, 2026-11-21T10:00."
    ),
)
even_if_older = click.option(
    "--even-if-older", is_flag=True, help="Also where something newer of the same person or thing was routed."
)


def list_kept(shelf: Shelf, given: Mapping[str, Any], *, each: bool, as_json: bool) -> None:
    """Print what lies there, by cause."""
    found = ConsoleClient.from_settings().get(f"/{shelf}?{bulk.query(given, **({'items': 'true'} if each else {}))}")
    if as_json:
        json_output.write(found)
        return
    if not found["total"]:
        click.echo(f"No {NOUNS[shelf]}.")
        return
    out = tables.out()
    out.print(rooms.groups(found["groups"]))
    for one in found.get("items", ()):
        out.print(f"{one['id']}  {one['source']}  {one['type']}  {one['why']}", soft_wrap=True)


def show_kept(shelf: Shelf, id: str, *, payload: bool, reason: str, as_json: bool) -> None:
    """Print one of them; its payload only where that is asked for."""
    client = ConsoleClient.from_settings()
    found = client.get(f"/{shelf}/{quote(id, safe='')}")
    if payload:
        demand_reason(reason)
    kept = client.post(f"/{shelf}/look", {"id": id, "reason": reason}) if payload else None
    if as_json:
        json_output.write({**found, **({"payload": kept} if kept else {})})
        return
    tables.out().print(rooms.aside(found))
    if kept:
        print_payload(kept)


def demand_reason(reason: str) -> None:
    """Refuse a look at a payload for which nobody says why. Raises UsageError."""
    if not reason.strip():
        raise click.UsageError("who looks at a payload says why: --reason")


def print_payload(kept: Mapping[str, Any]) -> None:
    """Print what was kept, as a program would read it."""
    json_output.write({"head": kept["head"], "body": kept["body"]})


def retry_kept(shelf: Shelf, given: Mapping[str, Any], ids: Sequence[str], how: Mapping[str, Any], **ask: Any) -> None:
    """Take in what is chosen. `how`: rate, reason, and the words of an order; `ask`: yes, as_json."""
    order = bulk.write_order("reroute" if shelf == "unmatched" else "retry", shelf, given, ids, **how)
    bulk.carry_out(order, "would be taken in as the book in force reads them", NOUNS[shelf], **ask)


def drop_kept(shelf: Shelf, given: Mapping[str, Any], ids: Sequence[str], reason: str, **ask: Any) -> None:
    """Give up what is chosen. `ask`: yes, as_json."""
    order = bulk.write_order("drop", shelf, given, ids, reason=reason)
    bulk.carry_out(order, "would be given up for good", NOUNS[shelf], **ask)
