"""`relais dead undrop`."""

from typing import Any

import click

from console import bulk, settings
from console.client import ClientSettings, ConsoleClient


@click.command()
@click.argument("letters", nargs=-1)
@bulk.filters
@bulk.decision
def command(letters: tuple[str, ...], yes: bool, as_json: bool, reason: str, **given: Any) -> None:
    """Take back that dead letters were given up, within ten minutes.

    Says how many it would be, by cause, and asks. They are dead letters again, as they were.

    \b
    Examples:
      relais dead undrop 3kqv….0
      relais dead undrop --destination crm --yes
    """
    client = ConsoleClient(settings.load(ClientSettings))
    found = client.get(f"/dead?{bulk.query(given, ids=','.join(letters), items='true', dropped='true')}")
    work = bulk.BulkWork(
        "would be dead letters again",
        lambda those: client.post("/dead/undrop", {"items": list(those), "reason": reason}),
        str,
        [letter["id"] for letter in found["items"]],
        found["groups"],
        "dropped letters",
    )
    bulk.carry_out(work, client, yes=yes, as_json=as_json)
