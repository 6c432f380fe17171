"""`relais dead undrop`."""

from typing import Any

import click

from console import bulk


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
    order = bulk.write_order("undrop", "dead", given, letters, reason=reason)
    bulk.carry_out(order, "would be dead letters again", "dropped letters", yes=yes, as_json=as_json)
