"""`relais users remove`."""

import click

from console import bulk
from console.client import ConsoleClient
from console.errors import SAID_NO, UserError


@click.command()
@click.argument("name")
@bulk.reason
def command(name: str, reason: str) -> None:
    """Let a person in no more.

    Ends their sessions at once. What they did stays in the audit.

    \b
    Examples:
      relais users remove eva
    """
    client = ConsoleClient.from_settings()
    if not client.post("/users/remove", {"name": name, "reason": reason})["changed"]:
        raise UserError(f"nobody is called {name}", mend="relais users list", status=SAID_NO)
    click.echo(f"{name} is removed.")
