"""`relais boxes skip`."""

from typing import Any

import click

from console import bulk, settings
from console.client import ClientSettings, ConsoleClient


@click.command()
@click.argument("boxes", nargs=-1)
@bulk.filters
@click.option("--drop", is_flag=True, help="Give the first items up for good; otherwise they become dead letters.")
@bulk.rate
@bulk.decision
def command(
    boxes: tuple[str, ...], drop: bool, rate: float, yes: bool, as_json: bool, reason: str, **given: Any
) -> None:
    """Let held boxes go on without their first item.

    Says how many it would be, by cause, and asks. The first item of each becomes a dead letter; the rest goes on.

    \b
    Examples:
      relais boxes skip crm/4xw…
      relais boxes skip --code unresolved --drop --yes
    """
    client = ConsoleClient(settings.load(ClientSettings))
    found = client.get(f"/boxes?{bulk.query(given, ids=','.join(boxes))}")

    def ask(those: Any) -> Any:
        return client.post("/boxes/skip", {"boxes": [bulk.head(one) for one in those], "drop": drop, "reason": reason})

    would = "would go on without their first item" + (
        ", which is given up" if drop else ", which becomes a dead letter"
    )
    work = bulk.BulkWork(would, ask, bulk.name, found["boxes"], found["groups"], "held boxes", rate)
    bulk.carry_out(work, client, yes=yes, as_json=as_json)
