"""`relais tokens add`."""

from typing import Any

import click

from console import bulk
from console.client import ConsoleClient
from console.commands.users_add import payloads, role


@click.command()
@click.argument("name")
@role
@payloads
@bulk.reason
def command(name: str, **given: Any) -> None:
    """Make a token by which a program asks the console; it is shown once.

    Only its hash is kept. Prints the token and nothing else on stdout.

    \b
    Examples:
      relais tokens add prometheus
      relais tokens add nightly-retry --role operator > token
    """
    said = ConsoleClient.from_settings().post("/tokens/add", {"name": name, **given})
    click.echo(f"{name} is {given['role']}; this token is shown once:", err=True)
    click.echo(said["token"])
