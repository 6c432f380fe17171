"""`relais tokens remove`."""

import click

from console import bulk
from console.client import ConsoleClient
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
    client = ConsoleClient.from_settings()
    if not client.post("/tokens/remove", {"name": name, "reason": reason})["changed"]:
        raise UserError(f"no token is called {name}", mend="relais tokens list", status=SAID_NO)
    click.echo(f"The token {name} is removed.")
