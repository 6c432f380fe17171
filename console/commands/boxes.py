"""`relais boxes`: the group."""

import click

from console.cli import Lazy

COMMANDS = {
    "list": "List the boxes that are held for a person, with reason and age.",
    "show": "Show one held box and the story of the event at its head.",
    "release": "Let held boxes go on with their first item.",
    "skip": "Let held boxes go on without their first item.",
}


@click.group(cls=Lazy, table=COMMANDS, prefix="boxes_")
def command() -> None:
    """See which boxes are held for a person; release or skip them.

    A box holds what is to be written to one object, in order. It is held where going on could do something twice, or
    where it killed three workers. Nobody else waits for it. Asks the console (RELAIS_CONSOLE_URL).

    \b
    Examples:
      relais boxes list
      relais boxes release crm/4xw… --not-sent
      relais boxes skip crm/4xw…
    """
