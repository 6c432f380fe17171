"""`relais users link`."""

from typing import Any

import click

from console import bulk
from console.access import Role
from console.client import ConsoleClient, read_user
from console.commands.users_add import payloads, tell_link


@click.command()
@click.argument("name", default="")
@click.option(
    "--role",
    type=click.Choice([each.word for each in Role]),
    default=Role.OPERATOR.word,
    show_default=True,
    help="What they may.",
)
@payloads
@bulk.reason
def command(name: str, **given: Any) -> None:
    """Print a link by which somebody comes in once, without a pass phrase.

    For whoever uses this machine alone: NAME is the operating-system user where none is said.

    \b
    Examples:
      relais users link
      relais users link eva --role viewer
    """
    client = ConsoleClient.from_settings()
    name = name or read_user()
    said = client.post("/users/link", {"name": name, **given})
    tell_link(f"{name} comes in as {given['role']} by", client.url + said["link"])
