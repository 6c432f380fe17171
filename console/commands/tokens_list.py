"""`relais tokens list`."""

import click
from rich.table import Table

from console import json_output
from console.client import ConsoleClient
from console.render import tables


@click.command()
@json_output.option
def command(as_json: bool) -> None:
    """List the tokens, and when each was used last.

    RELAIS_CONSOLE_TOKEN is none of them: it is a setting, and may all that an admin may.

    \b
    Examples:
      relais tokens list
    """
    found = ConsoleClient.from_settings().get("/tokens")["tokens"]
    if as_json:
        json_output.write(found)
        return
    if not found:
        click.echo("There is no named token yet: relais tokens add NAME --role viewer")
        return
    table = Table("name", "role", "payloads", "made", "last used", box=None, pad_edge=False)
    for token in found:
        payloads = "yes" if token["payloads"] else "no"
        table.add_row(token["name"], token["role"], payloads, token["added"][:10], token["last_used"] or "never")
    tables.out().print(table)
