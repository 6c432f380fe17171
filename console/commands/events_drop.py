"""`relais events drop`."""

from typing import Any

import click

from console import aside, bulk


@click.command()
@click.argument("events", nargs=-1)
@aside.filters
@bulk.decision
def command(events: tuple[str, ...], reason: str, yes: bool, as_json: bool, **given: Any) -> None:
    """Erase the payloads of events that no rule wanted.

    Says how many it would be, by cause, and asks. They would be erased by themselves after 24 hours.

    \b
    Examples:
      relais events drop 3kqv…
      relais events drop --source shop --yes
    """
    aside.drop_kept("unmatched", given, events, reason, yes=yes, as_json=as_json)
