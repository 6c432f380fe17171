"""`relais users add`."""

import json
from typing import Any

import click

from console import bulk, json_output
from console.access import Role
from console.client import ConsoleClient

role = click.option(
    "--role",
    type=click.Choice([each.word for each in Role]),
    default=Role.VIEWER.word,
    show_default=True,
    help="What they may.",
)
payloads = click.option("--payloads", is_flag=True, help="They may also see payloads; each look is written down.")


@click.command()
@click.argument("name")
@role
@payloads
@bulk.reason
@json_output.option
def command(name: str, as_json: bool, **given: Any) -> None:
    """Add a person who may use the console, or give one another role.

    Prints a link, worth one use within ten minutes, by which they set a pass phrase of at least 12 characters.

    \b
    Examples:
      relais users add eva --role operator
      relais users add max --role viewer --payloads --reason "support of the shop"
    """
    client = ConsoleClient.from_settings()
    said = client.post("/users/add", {"name": name, **given})
    link = client.url + said["link"] if said["link"] else None
    if as_json:
        click.echo(json.dumps({**said, "link": link}))
    elif link:
        tell_link(f"{name} is {given['role']} now, and sets a pass phrase by", link)
    else:
        click.echo(f"{name} is {given['role']} now." if said["changed"] else f"{name} was {given['role']} before.")


def tell_link(what: str, link: str) -> None:
    """Print a link and how long it is worth something."""
    click.echo(f"{what} this link, once, within 10 minutes:\n{link}")
