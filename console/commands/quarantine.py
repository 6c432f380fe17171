"""`relais quarantine`: the group."""

import click

from console.cli import Lazy

COMMANDS = {
    "list": "Count events in quarantine, by cause.",
    "show": "Show one of them and its story; its payload only when asked to.",
    "retry": "Take events in quarantine in, as the book in force reads them.",
    "drop": "Give events in quarantine up for good.",
}


@click.group(cls=Lazy, table=COMMANDS, prefix="quarantine_")
def command() -> None:
    """See events that do not fit their type; take them in after a mend, or drop them.

    They are authentic, and are kept for 30 days. Asks the console (RELAIS_CONSOLE_URL).

    \b
    Examples:
      relais quarantine list
      relais quarantine show 3kqv… --payload --reason "what do they send?"
      relais quarantine retry --source shop --since 2h --yes
    """
