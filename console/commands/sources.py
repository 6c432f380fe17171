"""`relais sources`: the group."""

import click

from console.cli import Lazy

COMMANDS = {
    "list": "Show each source: when it sent last, how often usually, what came today.",
    "drift": "Show what changed in what sources send: fields and types.",
    "hold": "Hold a source: what it sends is kept, and not routed.",
    "held": "Show what waits of a held source.",
    "release": "Let what waits of a held source be routed, all of it or some.",
    "discard": "Give up some of what waits of a held source.",
}


@click.group(cls=Lazy, table=COMMANDS, prefix="sources_")
def command() -> None:
    """Look at sources; hold them, release or discard what waits of them.

    Asks the console (RELAIS_CONSOLE_URL).

    \b
    Examples:
      relais sources list
      relais sources drift shop
      relais sources hold shop --until 2h --reason "they send nonsense"
      relais sources held shop
      relais sources discard shop --type order.paid --reason "sent twice" --yes
      relais sources release shop
    """
