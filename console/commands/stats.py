"""`relais stats`."""

from typing import Any

import click
from rich.table import Table

from console import json_output
from console.bulk import UNITS, read_span
from console.client import ConsoleClient
from console.render import tables

#: Signs for a share of the highest column, eighth by eighth.
BARS = " ▁▂▃▄▅▆▇█"
#: Columns of a drawing.
WIDTH = 30


class Span(click.ParamType[float]):
    """A while: `3h`. As seconds."""

    name = "while"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it in seconds."""
        span = read_span(value)
        if span is None:
            self.fail(f"{value!r} is no while: write 90m, 24h or 7d; units are {', '.join(UNITS)}", param, ctx)
        return span


@click.command()
@click.option("--span", type=Span(), default="3h", show_default=True, help="How far back, up to 31d.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with each step.")
def command(span: float, as_json: bool) -> None:
    """Show what came from each source and went to each destination, and how long it took.

    Up to 3h by the minute, up to 2d by ten minutes, else by the hour. Half of the requests took up to p50, 95 of 100 up
    to p95; `from receipt` counts from the moment the webhook was taken.

    \b
    Examples:
      relais stats
      relais stats --span 7d
      relais stats --span 31d --json
    """
    found = ConsoleClient.from_settings().get(f"/stats?span={span:.0f}")
    if as_json:
        json_output.write(found)
        return
    out = tables.out()
    sources = Table("source", "events", "course", box=None, pad_edge=False)
    for name, steps in found["sources"].items():
        sources.add_row(name, str(sum(steps)), draw(steps))
    destinations = Table("destination", "done", "failed", "p50", "p95", "from receipt p95", box=None, pad_edge=False)
    for name, one in found["destinations"].items():
        totals = {word: sum(steps) for word, steps in one["attempts"].items()}
        done = totals.pop("done", 0)
        took = [_ms(one["ms"].get(p)) for p in ("p50", "p95")]
        last = _ms(one["from_receipt_ms"].get("p95"))
        destinations.add_row(name, str(done), str(sum(totals.values())), *took, last)
    if not found["sources"] and not found["destinations"]:
        click.echo("Nothing came and nothing was sent in that time.")
        return
    out.print(sources)
    out.print()
    out.print(destinations)


def draw(steps: list[int]) -> str:
    """Return a course as a line of bars."""
    size = -(-len(steps) // WIDTH)
    sums = [sum(steps[first : first + size]) for first in range(0, len(steps), size)]
    highest = max(sums, default=0) or 1
    return "".join(BARS[-(-8 * each // highest)] for each in sums)


def _ms(bound: int | None) -> str:
    if bound is None:
        return "-"
    return f"{bound} ms" if bound < 1000 else tables.duration(bound)
