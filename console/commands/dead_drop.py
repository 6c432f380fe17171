"""`relais dead drop`."""

from typing import Any

import click

from console import bulk


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
    order = bulk.write_order("drop", "dead", given, letters, reason=reason, at_once=at_once)
    bulk.carry_out(order, "would be given up for good", yes=yes, as_json=as_json)
