"""`relais cases know`."""

import click

from console import bulk
from console.commands.cases_mute import say


@click.command()
@click.argument("destination")
@click.argument("code")
@click.argument("rule", default="")
@bulk.reason
def command(destination: str, code: str, rule: str, reason: str) -> None:
    """Say that a case is known: nobody has to look any more.

    Without a RULE it is about the cases of all rules.

    \b
    Examples:
      relais cases know crm invalid "paid orders"
    """
    say("know", destination, code, rule, reason)
    click.echo("The case is known.")
