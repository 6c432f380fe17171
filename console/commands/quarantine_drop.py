"""`relais quarantine drop`."""

from typing import Any

import click

from console import aside, bulk


@click.command()
@click.argument("events", nargs=-1)
@aside.filters
@bulk.decision
def command(events: tuple[str, ...], reason: str, yes: bool, as_json: bool, **given: Any) -> None:
    """Give events in quarantine up for good.

    Says how many it would be, by cause, and asks. What was kept of them is erased.

    \b
    Examples:
      relais quarantine drop 3kqv…
      relais quarantine drop --source shop --yes
    """
    aside.drop_kept("quarantine", given, events, reason, yes=yes, as_json=as_json)
