"""`relais upgrade`: the group."""

import click

from console.cli import Lazy

COMMANDS = {"check": "Say whether this version can take over from the one that runs."}


@click.group(cls=Lazy, table=COMMANDS, prefix="upgrade_")
def command() -> None:
    """Try a new version against the live store before it starts.

    \b
    Examples:
      relais upgrade check
    """
