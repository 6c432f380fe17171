"""`relais dead drop`."""

from typing import Any

import click

from console import bulk, settings
from console.client import ClientSettings, ConsoleClient


@click.command()
@click.argument("letters", nargs=-1)
@bulk.filters
@click.option("--at-once", is_flag=True, help="Erase them now: they cannot be had back.")
@bulk.decision
def command(letters: tuple[str, ...], at_once: bool, yes: bool, as_json: bool, reason: str, **given: Any) -> None:
    """Give dead letters up for good.

    Says how many it would be, by cause, and asks. Ten minutes long `relais dead undrop` has them back; then their
    payloads are erased, and the ledger keeps their story.

    \b
    Examples:
      relais dead drop 3kqv….0
      relais dead drop --rule "old rule" --yes
    """
    client = ConsoleClient(settings.load(ClientSettings))
    found = client.get(f"/dead?{bulk.query(given, ids=','.join(letters), items='true')}")
    items = [letter["id"] for letter in found["items"]]
    work = bulk.BulkWork(
        "would be given up for good",
        lambda those: client.post("/dead/drop", {"items": list(those), "at_once": at_once, "reason": reason}),
        str,
        items,
        found["groups"],
    )
    bulk.carry_out(work, client, yes=yes, as_json=as_json)
