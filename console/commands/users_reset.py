"""`relais users reset`."""

import click

from console import bulk
from console.client import ConsoleClient
from console.commands.users_add import tell_link


@click.command()
@click.argument("name")
@bulk.reason
def command(name: str, reason: str) -> None:
    """Take a person's pass phrase and sessions, and print a link to set another.

    \b
    Examples:
      relais users reset eva --reason "forgot it"
    """
    client = ConsoleClient.from_settings()
    said = client.post("/users/reset", {"name": name, "reason": reason})
    tell_link(f"{name} is signed out everywhere, and sets another pass phrase by", client.url + said["link"])
