"""`relais cases unmute`."""

import click

from console import bulk
from console.commands.cases_mute import say


@click.command()
@click.argument("destination")
@click.argument("code")
@click.argument("rule", default="")
@bulk.reason
def command(destination: str, code: str, rule: str, reason: str) -> None:
    """Take a mute back.

    Without a RULE it is about the cases of all rules.

    \b
    Examples:
      relais cases unmute crm invalid "paid orders"
    """
    say("unmute", destination, code, rule, reason)
    click.echo("The case is known, and muted no more.")
