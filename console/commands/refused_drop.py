"""`relais refused drop`."""

from typing import Any

import click

from console import aside, bulk


@click.command()
@click.argument("requests", nargs=-1)
@aside.filters
@bulk.decision
def command(requests: tuple[str, ...], reason: str, yes: bool, as_json: bool, **given: Any) -> None:
    """Give refused requests up for good.

    Says how many it would be, by cause, and asks. What was kept of them is erased.

    \b
    Examples:
      relais refused drop 1764…-0
      relais refused drop --source shop --yes
    """
    aside.drop_kept("refused", given, requests, reason, yes=yes, as_json=as_json)
