"""`relais events show`."""

from urllib.parse import quote

import click

from console import aside, bulk, json_output
from console.client import ConsoleClient
from console.errors import SAID_NO
from console.render import events, tables


@click.command()
@click.argument("event", default="")
@click.option(
    "--wait", type=click.FloatRange(0, 60), default=0, help="Wait up to this many seconds until it is settled."
)
@click.option("--payload", is_flag=True, help="With its payload, while that is kept. The story says who looked.")
@bulk.reason
@json_output.option
def command(event: str, wait: float, payload: bool, reason: str, as_json: bool) -> None:
    """Show one event: rules, deliveries, attempts.

    Without an id it is the newest one.

    \b
    Examples:
      relais events show --wait 10
      relais events show 3kqv…
      relais events show 3kqv… --wait 10 --json
      relais events show 3kqv… --payload --reason "the customer asks what we got"
    """
    if payload:
        aside.demand_reason(reason)
    client = ConsoleClient.from_settings()
    if not event:
        newest = client.get("/events?limit=1")["events"]
        if not newest:
            click.echo("No events yet.", err=True)
            raise click.exceptions.Exit(SAID_NO)
        event = newest[0]["id"]
    found = client.get(f"/events/{quote(event, safe='')}?wait={wait:g}")
    kept = client.post("/events/look", {"id": event, "reason": reason}) if payload else None
    if as_json:
        json_output.write({**found, **({"payload": kept} if kept else {})})
        return
    tables.out().print(events.tree(found))
    if kept:
        aside.print_payload(kept)
