"""`relais users list`."""

import click
from rich.table import Table

from console import json_output
from console.client import ConsoleClient
from console.render import tables


@click.command()
@json_output.option
def command(as_json: bool) -> None:
    """List the people who may use the console.

    \b
    Examples:
      relais users list
    """
    found = ConsoleClient.from_settings().get("/users")["users"]
    if as_json:
        json_output.write(found)
        return
    if not found:
        click.echo("Nobody is named yet: relais users add NAME --role operator")
        return
    table = Table("name", "role", "payloads", "last sign-in", box=None, pad_edge=False)
    for user in found:
        last = user["last_sign_in"] or ("never" if user["may_sign_in"] else "has no pass phrase yet")
        table.add_row(user["name"], user["role"], "yes" if user["payloads"] else "no", last)
    tables.out().print(table)
