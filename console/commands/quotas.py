"""`relais quotas`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from console import json_output
from console.client import ConsoleClient
from console.render import tables


@click.command()
@json_output.option
def command(as_json: bool) -> None:
    """Show what the quotas of vendors' keys were used for, and how long they last.

    A key is called by the name of its reference in the book; times are in UTC. What is used counts all requests of all
    destinations and sources with that key, and what others used as far as the vendor says. `gone at` is when usual
    deliveries will have used all but the reserve, at the pace of the last half hour; a dash: not before it resets.

    \b
    Examples:
      relais quotas
      relais quotas --json
    """
    found = ConsoleClient.from_settings().get("/quotas")
    if as_json:
        json_output.write(found)
    elif not found["quotas"]:
        click.echo("No key has a quota: write quota: 5000/day under a destination.")
    else:
        tables.out().print(draw(found["quotas"], datetime.now(UTC)))


def draw(found: Sequence[dict[str, Any]], now: datetime) -> Group:
    """Return a row for each key, and below why deliveries of some wait."""
    table = Table("credential", "used", "limit", "reserve", "gone at", "resets at", box=None, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"
    for one in found:
        gone = "gone" if one["used_up"] else _moment(one["gone_at"], now)
        table.add_row(
            one["credential"],
            str(one["used"]),
            str(one["limit"]),
            str(one["reserve"]),
            Text(gone, style="red" if gone != "-" else ""),
            _moment(one["resets_at"], now),
        )
    return Group(table, *(Text(one["why"], style="red") for one in found if one["why"]))


def _moment(at: str | None, now: datetime) -> str:
    """Return a time as `15:40`, on another day with that."""
    if at is None:
        return "-"
    moment = datetime.fromisoformat(at)
    return f"{moment:%H:%M}" if moment.date() == now.date() else f"{moment:%m-%d %H:%M}"
