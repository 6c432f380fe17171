"""`relais cases solve`."""

import click

from console import bulk
from console.commands.cases_mute import say


@click.command()
@click.argument("destination")
@click.argument("code")
@click.argument("rule", default="")
@bulk.reason
def command(destination: str, code: str, rule: str, reason: str) -> None:
    """Say that a case is solved: the next failure tells that it came back.

    Without a RULE it is about the cases of all rules.

    \b
    Examples:
      relais cases solve crm invalid "paid orders"
    """
    say("solve", destination, code, rule, reason)
    click.echo("The case is solved.")
