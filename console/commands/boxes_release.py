"""`relais boxes release`."""

from typing import Any

import click

from console import bulk, settings
from console.client import ClientSettings, ConsoleClient


@click.command()
@click.argument("boxes", nargs=-1)
@bulk.filters
@click.option("--not-sent", is_flag=True, help="Somebody has looked: their first items did not arrive, send them.")
@bulk.rate
@bulk.decision
def command(
    boxes: tuple[str, ...], not_sent: bool, rate: float, yes: bool, as_json: bool, reason: str, **given: Any
) -> None:
    """Let held boxes go on with their first item.

    Says how many it would be, by cause, and asks. What may have been sent is looked for before it is sent again; where
    nothing can be looked for, the box is held again unless you say --not-sent.

    \b
    Examples:
      relais boxes release crm/4xw… --not-sent
      relais boxes release --code poison --rate 1/s
    """
    client = ConsoleClient(settings.load(ClientSettings))
    found = client.get(f"/boxes?{bulk.query(given, ids=','.join(boxes))}")

    def ask(those: Any) -> Any:
        body = {"boxes": [bulk.head(one) for one in those], "not_sent": not_sent, "reason": reason}
        return client.post("/boxes/release", body)

    would = "would go on" if not not_sent else "would go on, and their first items be sent without a look"
    work = bulk.BulkWork(would, ask, bulk.name, found["boxes"], found["groups"], "held boxes", rate)
    bulk.carry_out(work, client, yes=yes, as_json=as_json)
