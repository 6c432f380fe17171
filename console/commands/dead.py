"""`relais dead`: the group."""

import click

from console.cli import Lazy

COMMANDS = {
    "list": "Count what could not be delivered, by cause.",
    "show": "Show one dead letter and the story of its event.",
    "retry": "Send dead letters once more, as they were or by today's rules.",
    "drop": "Give dead letters up for good.",
    "undrop": "Take back that dead letters were given up, within ten minutes.",
}


@click.group(cls=Lazy, table=COMMANDS, prefix="dead_")
def command() -> None:
    """See what could not be delivered; retry or drop it.

    A dead letter is kept for 30 days, its payload with it. Asks the console (RELAIS_CONSOLE_URL).

    \b
    Examples:
      relais dead list
      relais dead retry --destination crm --code unavailable_too_often
      relais dead drop --rule "old rule" --yes
    """
