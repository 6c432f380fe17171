"""`relais people`: the group."""

import click

from console.cli import Lazy

COMMANDS = {
    "find": "Find what came of whom TEXT is about: an address, a telephone number, an id.",
    "show": "Show the events of whom the hash WHO stands for.",
}


@click.group(cls=Lazy, table=COMMANDS, prefix="people_")
def command() -> None:
    """Find what became of a person's events, without keeping who it is.

    An address is turned into a keyed hash and then forgotten: it stands in no URL, no log and no file. Asks the console
    (RELAIS_CONSOLE_URL).

    \b
    Examples:
      relais people find eva@example.org
      relais people show 4xwqABCDEFGHIJKL
    """
