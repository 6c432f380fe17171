"""`relais rooms`: the group."""

import click

from console.cli import Lazy

COMMANDS = {
    "list": "List the inbox and the destinations: what waits, what is held or paused, why and since when.",
    "pause": "Stop sending to a destination, until then or for good; what comes for it waits.",
    "resume": "Let a paused destination go on.",
}


@click.group(cls=Lazy, table=COMMANDS, prefix="rooms_")
def command() -> None:
    """See what waits where; pause and resume destinations.

    A destination that is down, or that refuses our key, is paused by itself, probed with one delivery now and then, and
    goes on when it answers. What a person paused is resumed by a person, or at the time that they said.

    Asks the console (RELAIS_CONSOLE_URL).

    \b
    Examples:
      relais rooms list
      relais rooms pause crm --until 18:00 --reason "year end"
      relais rooms resume crm
    """
