"""`relais refused`: the group."""

import click

from console.cli import Lazy

COMMANDS = {
    "list": "Count refused requests, by cause.",
    "show": "Show one of them and its story; its payload only when asked to.",
    "retry": "Take refused requests in, as the book in force reads them.",
    "drop": "Give refused requests up for good.",
}


@click.group(cls=Lazy, table=COMMANDS, prefix="refused_")
def command() -> None:
    """See requests that were refused; take them in after a mend, or drop them.

    The last 1,000 of three days are kept, without secrets, with the first 16 KiB of their bodies.
    Asks the console (RELAIS_CONSOLE_URL).

    \b
    Examples:
      relais refused list
      relais refused show 1764…-0 --payload --reason "what do they send?"
      relais refused retry --source shop --since 2h --yes
    """
