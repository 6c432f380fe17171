"""`relais sources held`."""

import click
from rich.table import Table

from console import held_events, json_output
from console.client import ConsoleClient
from console.errors import SAID_NO
from console.render import tables


@click.command()
@click.argument("source")
@held_events.filters
@click.option("--each", is_flag=True, help="Each event, in the order of routing.")
@json_output.option
def command(source: str, kind: str, before: int, events: tuple[str, ...], each: bool, as_json: bool) -> None:
    """Show what waits of a held source.

    By type, and how many of them wait behind held ones of the same person. Status 1: it is not held.

    \b
    Examples:
      relais sources held shop
      relais sources held shop --type order.paid --each
    """
    found = held_events.ask(ConsoleClient.from_settings(), source, kind, before, events)
    if as_json:
        json_output.write(found)
    elif found["hold"] is None:
        click.echo(f"{source} is not held.")
    else:
        hold = found["hold"]
        ends = f" until {hold['until'][:16]}Z" if hold["until"] else ""
        by, why = (f" by {hold['by']}" if hold["by"] else ""), (f": {hold['why']}" if hold["why"] else "")
        click.echo(f"{source} is held{by} since {hold['at'][:16]}Z{ends}{why}; {found['total']} events wait.")
        rows = found["groups"]
        table = Table("type", "events", "oldest", "newest", box=None, pad_edge=False)
        for row in rows:
            table.add_row(row["type"], str(row["count"]), row["oldest"][:19], row["newest"][:19])
        if rows:
            tables.out().print(table)
        for one in found["items"] if each else ():
            behind = f"  behind {', '.join(one['behind'])}" if one["behind"] else ""
            tables.out().print(f"{one['id']}  {one['type']}  {one['received']}{behind}", soft_wrap=True)
    if found["hold"] is None:
        raise SystemExit(SAID_NO)
