"""`relais rules history`."""

import click

from console import json_output
from console.client import ConsoleClient
from console.render import rooms


@click.command()
@json_output.option
def command(as_json: bool) -> None:
    """List the books that were in force, the newest first.

    What one said otherwise than another: relais rules diff. To go back to one, put its files on disk again (relais
    rules show VERSION --write FOLDER) and approve them.

    \b
    Examples:
      relais rules history
      relais rules diff 3f2a91c0b1d4 current
    """
    found = ConsoleClient.from_settings().get("/books")["books"]
    if as_json:
        json_output.write(found)
        return
    for one in found:
        here = "  in force" if one["current"] else ""
        click.echo(f"{one['version']}  taken {rooms.age(one['since'])} ago{here}")
    if not found:
        click.echo("No book was ever in force.")
