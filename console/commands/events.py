"""`relais events`: the group."""

import click

from console.cli import Lazy

COMMANDS = {
    "list": "List events of the last 31 days and what became of each, the newest first.",
    "show": "Show one event: rules, deliveries, attempts.",
    "reroute": "Route events that no rule wanted, by the rules of today.",
    "drop": "Erase the payloads of events that no rule wanted.",
    "tail": "Follow events as they come in and end.",
}


@click.group(cls=Lazy, table=COMMANDS, prefix="events_")
def command() -> None:
    """See what came in and what became of it.

    Asks the console (RELAIS_CONSOLE_URL). Shows no values of persons: the ledger holds none.

    \b
    Examples:
      relais events list
      relais events show 3kq…
      relais events tail
    """
