"""`relais tokens remove`."""

import click

from console import bulk, settings
from console.client import ClientSettings, ConsoleClient
from console.errors import SAID_NO, UserError


@click.command()
@click.argument("name")
@bulk.reason
def command(name: str, reason: str) -> None:
    """Let a token open nothing any more.

    \b
    Examples:
      relais tokens remove nightly-retry
    """
    client = ConsoleClient(settings.load(ClientSettings))
    if not client.post("/tokens/remove", {"name": name, "reason": reason})["changed"]:
        raise UserError(f"no token is called {name}", mend="relais tokens list", status=SAID_NO)
    click.echo(f"The token {name} is removed.")
