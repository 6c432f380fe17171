"""`relais sources hold`."""

import click

from console import bulk, held_events
from console.client import ConsoleClient


@click.command()
@click.argument("source")
@bulk.until
@bulk.reason
def command(source: str, until: int, reason: str) -> None:
    """Hold a source: what it sends is kept, and not routed.

    Its webhooks are taken as ever. What stands behind a held event of the same person waits, too, whoever sent it; so
    do unsubscribes. Said again, it changes until when.

    \b
    Examples:
      relais sources hold shop
      relais sources hold shop --until 18:00 --reason "they import their archive"
    """
    body = {"until": until, "reason": reason}
    said = ConsoleClient.from_settings().post(held_events.path_of(source, "hold"), body)
    ends = bulk.say_until(until)
    click.echo(f"{source} is held{ends}." if said["changed"] else f"{source} was held already; it is held{ends} now.")
