"""`relais alerts`: the group."""

import click

from console.cli import Lazy

COMMANDS = {"test": "Let a worker tell an alert, and say what became of it."}


@click.group(cls=Lazy, table=COMMANDS, prefix="alerts_")
def command() -> None:
    """Try whether alerts reach somebody.

    Asks the console (RELAIS_CONSOLE_URL).

    \b
    Examples:
      relais alerts test
    """
