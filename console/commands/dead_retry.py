"""`relais dead retry`."""

from typing import Any

import click

from console import bulk, settings
from console.client import ClientSettings, ConsoleClient


@click.command()
@click.argument("letters", nargs=-1)
@bulk.filters
@click.option("--as-sent/--today", "as_sent", default=True, help="As it was sent [default], or by the rules of today.")
@click.option("--even-if-older", is_flag=True, help="Also where something newer was sent to the same object.")
@bulk.rate
@bulk.decision
def command(
    letters: tuple[str, ...],
    as_sent: bool,
    even_if_older: bool,
    rate: float,
    yes: bool,
    as_json: bool,
    reason: str,
    **given: Any,
) -> None:
    """Send dead letters once more, as they were or by today's rules.

    Says how many it would be, by cause, and asks. Without a terminal it does nothing unless told --yes (status 1).
    They go in the order in which their events came. By today's rules only what had failed is decided anew.

    \b
    Examples:
      relais dead retry 3kqv….0
      relais dead retry --destination crm --since 2h --rate 5/s
      relais dead retry --rule "paid orders" --today --yes
    """
    client = ConsoleClient(settings.load(ClientSettings))
    found = client.get(f"/dead?{bulk.query(given, ids=','.join(letters), items='true')}")

    def ask(items: Any) -> Any:
        body = {
            "items": items,
            "how": "as_sent" if as_sent else "today",
            "even_if_older": even_if_older,
            "reason": reason,
        }
        return client.post("/dead/retry", body)

    would = "would be retried as they were sent" if as_sent else "would be retried by the rules of today"
    items = [letter["id"] for letter in found["items"]]
    work = bulk.BulkWork(would, ask, str, items, found["groups"], rate=rate)
    bulk.carry_out(work, client, yes=yes, as_json=as_json)
