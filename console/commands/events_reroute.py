"""`relais events reroute`."""

from typing import Any

import click

from console import aside, bulk


@click.command()
@click.argument("events", nargs=-1)
@aside.filters
@aside.even_if_older
@bulk.rate
@bulk.decision
def command(
    events: tuple[str, ...], even_if_older: bool, rate: float, reason: str, yes: bool, as_json: bool, **given: Any
) -> None:
    """Route events that no rule wanted, by the rules of today.

    Says how many it would be, by cause, and asks. Those that no rule wants today, either, are left alone. Payloads
    are kept for 24 hours (`retain_unmatched:` of the source). What Relais took for the echo of its own write
    is routed where its id or `--code echo` says so.

    \b
    Examples:
      relais events reroute 3kqv…
      relais events reroute --source shop --since 2h --reason "new rule" --yes
      relais events reroute --code echo --since 2h
    """
    how = {"even_if_older": even_if_older, "rate": rate, "reason": reason}
    aside.retry_kept("unmatched", given, events, how, yes=yes, as_json=as_json)
