"""`relais boxes release`."""

from typing import Any

import click

from console import bulk


@click.command()
@click.argument("boxes", nargs=-1)
@bulk.filters
@click.option("--not-sent", is_flag=True, help="Somebody has looked: their first items did not arrive, send them.")
@bulk.rate
@bulk.decision
def command(
    boxes: tuple[str, ...], not_sent: bool, rate: float, yes: bool, as_json: bool, reason: str, **given: Any
) -> None:
    """Let held boxes go on with their first item.

    Says how many it would be, by cause, and asks. What may have been sent is looked for before it is sent again; where
    nothing can be looked for, the box is held again unless you say --not-sent.

    \b
    Examples:
      relais boxes release crm/4xw… --not-sent
      relais boxes release --code poison --rate 1/s
    """
    would = "would go on" if not not_sent else "would go on, and their first items be sent without a look"
    order = bulk.write_order("release", "boxes", given, boxes, rate=rate, reason=reason, not_sent=not_sent)
    bulk.carry_out(order, would, "held boxes", yes=yes, as_json=as_json)
