"""`relais dead retry`."""

from typing import Any

import click

from console import bulk


@click.command()
@click.argument("letters", nargs=-1)
@bulk.filters
@click.option("--as-sent/--today", "as_sent", default=True, help="As it was sent [default], or by the rules of today.")
@click.option("--even-if-older", is_flag=True, help="Also where something newer was sent to the same object.")
@bulk.rate
@bulk.decision
def command(
    letters: tuple[str, ...],
    as_sent: bool,
    even_if_older: bool,
    rate: float,
    yes: bool,
    as_json: bool,
    reason: str,
    **given: Any,
) -> None:
    """Send dead letters once more, as they were or by today's rules.

    Says how many it would be, by cause, and asks. Without a terminal it does nothing unless told --yes (status 1).
    They go in the order in which their events came. By today's rules only what had failed is decided anew.

    \b
    Examples:
      relais dead retry 3kqv….0
      relais dead retry --destination crm --since 2h --rate 5/s
      relais dead retry --rule "paid orders" --today --yes
    """
    would = "would be retried as they were sent" if as_sent else "would be retried by the rules of today"
    how = {"today": not as_sent, "even_if_older": even_if_older}
    order = bulk.write_order("retry", "dead", given, letters, rate=rate, reason=reason, **how)
    bulk.carry_out(order, would, yes=yes, as_json=as_json)
