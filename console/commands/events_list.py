"""`relais events list`."""

from typing import Any, get_args
from urllib.parse import urlencode

import click

from console import json_output
from console.bulk import Since, Who
from console.client import ConsoleClient
from console.render import events, tables
from mailroom.ledger import EventState


@click.command()
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@click.option("--before", default="", help="The cursor of the page before.")
@click.option("--source", default="", help="Of this source.")
@click.option("--type", "type_", default="", help="Of this type; booking.* means all of a kind.")
@click.option(
    "--state",
    type=click.Choice(get_args(EventState)),
    metavar="STATE",
    help=f"In this state now: {', '.join(get_args(EventState))}.",
)
@click.option("--destination", default="", help="With a delivery to it.")
@click.option("--rule", default="", help="With a delivery of this rule.")
@click.option("--code", default="", help="With a delivery that ended so: invalid, timeout …")
@click.option("--book", default="", help="Routed by this version of the book.")
@click.option("--who", type=Who(), default="", help="Of whom this hash stands for (relais people find).")
@click.option("--since", type=Since(), default=0, help="Received since then: 2h, 7d, 2026-11-21.")
@click.option("--until", type=Since(), default=0, help="Received before then.")
@click.option("--count", is_flag=True, help="Say only how many there are.")
@click.option("--csv", "as_csv", is_flag=True, help="All of them as CSV, a line for each delivery.")
@json_output.option
def command(
    limit: int, before: str, since: int, until: int, count: bool, as_csv: bool, as_json: bool, **chosen: str | None
) -> None:
    """List events of the last 31 days and what became of each, the newest first.

    \b
    Examples:
      relais events list
      relais events list --state dead --destination crm --since 7d
      relais events list --type 'booking.*' --count
      relais events list --source shop --csv > shop.csv
    """
    chosen["type"] = chosen.pop("type_")
    meant = {**chosen, "since": since, "until": until}
    asked: dict[str, Any] = {name: value for name, value in meant.items() if value}
    filtered = bool(asked)
    client = ConsoleClient.from_settings()
    if as_csv:
        for line in client.text(f"/events.csv?{urlencode(asked)}"):
            click.echo(line, nl=False)
        return
    asked |= {"limit": 1 if count else limit, **({"cursor": before} if before else {})}
    page = client.get(f"/events?{urlencode({**asked, 'total': 'true'} if count else asked)}")
    if as_json:
        json_output.write(page)
    elif count:
        click.echo(page["total"])
    elif not page["events"]:
        click.echo("No such events." if filtered else "No events yet.")
    else:
        out = tables.out()
        out.print(events.table(page["events"], out.width))
        if page["next"]:
            click.echo(f"More: the same with --before {page['next']}", err=True)
    if not page["complete"]:
        click.echo("The console still reads the ledger: older events may be missing. Ask again in a moment.", err=True)
