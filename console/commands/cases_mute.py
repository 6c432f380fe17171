"""`relais cases mute`."""

import click

from console import bulk
from console.client import ConsoleClient


def say(verb: str, destination: str, code: str, rule: str, reason: str, until: int = 0) -> None:
    """Say something of a case. Raises UserError."""
    client = ConsoleClient.from_settings()
    body = {"destination": destination, "code": code, "rule": rule, "reason": reason, "until": until}
    client.post(f"/cases/{verb}", body)


@click.command()
@click.argument("destination")
@click.argument("code")
@click.argument("rule", default="")
@bulk.until
@bulk.reason
def command(destination: str, code: str, rule: str, until: int, reason: str) -> None:
    """Say nothing of a case for a while.

    A failure after that raises the alert that it came back.

    Without a RULE it is about the cases of all rules.

    \b
    Examples:
      relais cases mute crm invalid "paid orders" --until 2d --reason vendor
    """
    say("mute", destination, code, rule, reason, until)
    click.echo(f"The case is muted{bulk.say_until(until)}.")
