"""`relais quarantine retry`."""

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
    """Take events in quarantine in, as the book in force reads them.

    Says how many it would be, by cause, and asks. Without a terminal it does nothing unless told --yes (status 1).
    Each is read by the book in force, and taken in where it fits now.

    \b
    Examples:
      relais quarantine retry 3kqv…
      relais quarantine retry --code email --since 2h --reason "mended" --yes
    """
    how = {"even_if_older": even_if_older, "rate": rate, "reason": reason}
    aside.retry_kept("quarantine", given, events, how, yes=yes, as_json=as_json)
