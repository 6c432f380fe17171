"""`relais rooms pause`."""

from urllib.parse import quote

import click

from console import bulk
from console.client import ConsoleClient


@click.command()
@click.argument("destination")
@bulk.until
@click.option("--reason", "--why", "reason", default="", help="Why, for whoever sees it in `relais rooms list`.")
def command(destination: str, until: int, reason: str) -> None:
    """Stop sending to a destination, until then or for good; what comes for it waits.

    What is under way ends. `in` pauses the inbox: events are kept and wait to be routed. With --until it ends by
    itself; said again, it changes until when.

    \b
    Examples:
      relais rooms pause crm --until 18:00 --reason "year end"
      relais rooms pause crm --reason "migration"
    """
    body = {"until": until, "reason": reason}
    said = ConsoleClient.from_settings().post(f"/rooms/{quote(destination, safe='')}/pause", body)
    ends = bulk.say_until(until)
    click.echo(
        f"{destination} is paused{ends}."
        if said["changed"]
        else f"{destination} was paused already; it is paused{ends} now."
    )
