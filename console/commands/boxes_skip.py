"""`relais boxes skip`."""

from typing import Any

import click

from console import bulk


@click.command()
@click.argument("boxes", nargs=-1)
@bulk.filters
@click.option("--drop", is_flag=True, help="Give the first items up for good; otherwise they become dead letters.")
@bulk.rate
@bulk.decision
def command(
    boxes: tuple[str, ...], drop: bool, rate: float, yes: bool, as_json: bool, reason: str, **given: Any
) -> None:
    """Let held boxes go on without their first item.

    Says how many it would be, by cause, and asks. The first item of each becomes a dead letter; the rest goes on.

    \b
    Examples:
      relais boxes skip crm/4xw…
      relais boxes skip --code unresolved --drop --yes
    """
    first = "is given up" if drop else "becomes a dead letter"
    order = bulk.write_order("skip", "boxes", given, boxes, rate=rate, reason=reason, drop=drop)
    would = f"would go on without their first item, which {first}"
    bulk.carry_out(order, would, "held boxes", yes=yes, as_json=as_json)
