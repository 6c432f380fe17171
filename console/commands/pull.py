"""`relais pull`."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from console import json_output
from console.client import ConsoleClient
from console.errors import SAID_NO
from console.render import tables

#: Seconds between two looks at a back-fill, and until some receiver should have begun with it.
LOOK_EVERY, BEGINS_WITHIN = 1.0, 60.0
#: Reasons after which it goes on by itself.
GOES_ON = ("quota", "limited", "unavailable", "store_unavailable")


@click.command()
@click.argument("source", required=False)
@click.option("--since", type=click.DateTime(), help="Fetch what happened since this day or time (UTC).")
@click.option("--until", type=click.DateTime(), help="Until then; otherwise until now.")
@click.option("--stop", is_flag=True, help="Stop the back-fill that goes on; what it has brought stays.")
@click.option("--no-wait", is_flag=True, help="Only ask for it: the receivers go on by themselves.")
@json_output.option
def command(
    source: str | None, since: datetime | None, until: datetime | None, stop: bool, no_wait: bool, as_json: bool
) -> None:
    """Show what is fetched from sources, or back-fill one.

    Fetching runs in `relais receive`, within the quota of the key. A back-fill leaves to what is new, and to the
    reserve, what they need; Ctrl-C ends the watching, not the back-fill. What came before is not taken twice.

    \b
    Examples:
      relais pull
      relais pull tel --since 2026-11-01
      relais pull tel --since 2026-11-01 --until 2026-11-15 --no-wait
      relais pull tel --stop
    """
    client = ConsoleClient.from_settings()
    if (since or until or stop) and source is None:
        raise click.UsageError("name the source: relais pull NAME --since DAY")
    if until and not since:
        raise click.UsageError("--until needs --since")
    path = f"/pulls/{quote(source or '', safe='')}"
    if stop:
        said = client.post(f"{path}/stop", {})
        click.echo(f"{source}: stopped." if said["changed"] else f"{source}: no back-fill goes on.")
        return
    if since is not None:
        client.post(f"{path}/fill", {"since": read_ms(since), "until": read_ms(until) if until else 0})
        if since.replace(tzinfo=UTC) < datetime.now(UTC) - timedelta(days=31):
            click.echo(
                "What came more than 31 days ago is not known any more: it may be taken a second time.", err=True
            )
        if not (no_wait or as_json):
            say_end(source or "", watch(client, source or ""))
            return
    found = [one for one in client.get("/pulls")["pulls"] if source in (None, one["source"])]
    if as_json:
        json_output.write({"pulls": found})
    elif not found:
        click.echo("Nothing has been fetched from any source yet.")
    else:
        tables.out().print(table(found))


def read_ms(moment: datetime) -> int:
    """Return a moment as ms since 1970; UTC where it says no zone."""
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)


def watch(client: ConsoleClient, source: str, *, gives_up: bool = False) -> dict[str, Any]:
    """Show on a terminal how a back-fill gets on until it has ended; return how it and its source stand then.

    `gives_up`: also when it cannot go on without a person, or no receiver begins with it.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[said]}"))
    fill: dict[str, Any] = {}
    console, found = tables.out(stderr=True), {}
    latest = time.monotonic() + BEGINS_WITHIN
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        shown = progress.add_task(source, total=1.0, said="waits for a receiver")
        while not (fill.get("ended") or fill.get("stopped")):
            time.sleep(LOOK_EVERY)
            found = next(one for one in client.get("/pulls")["pulls"] if one["source"] == source)
            fill = found["fill"] or {"stopped": True}
            progress.update(shown, completed=fill.get("done", 0.0), said=describe(fill))
            is_idle = not fill.get("began") and time.monotonic() > latest
            if gives_up and (is_idle or fill.get("code") not in (None, "", *GOES_ON)):
                break
    return {**found, "fill": fill}


def say_end(source: str, found: dict[str, Any]) -> None:
    """Say how a back-fill ended."""
    fill = found["fill"]
    left = (found.get("quota") or {}).get("left")
    how = "stopped" if fill.get("stopped") else "done"
    click.echo(
        f"{source}: {how}; {fill.get('fetched', 0)} fetched with {fill.get('requests', 0)} requests, "
        f"{fill.get('new', 0)} of them new" + ("" if left is None else f"; {left} requests left")
    )
    if fill.get("stopped"):
        raise SystemExit(SAID_NO)


def describe(fill: dict[str, Any]) -> str:
    """Return in a few words how a back-fill gets on."""
    told = f"{fill.get('new', 0)} new of {fill.get('fetched', 0)}"
    if fill.get("stopped"):
        return f"{told}, stopped"
    if fill.get("ended"):
        return f"{told}, ended {fill['ended'][:16]}"
    if code := fill.get("code"):
        return f"{told}, {code}: again at {fill['next'][11:16]}"
    if pages := fill.get("pages"):
        told = f"{told}, {pages} pages"
    about = fill.get("ends_about")
    return f"{told}, ends about {about[:16]}" if about else told


def table(found: list[dict[str, Any]]) -> Table:
    """Return a row for each source."""
    out = Table("source", "up to", "fetched", "left", "again at", "says", box=None, pad_edge=False)
    for one in found:
        quota, fill = one.get("quota") or {}, one.get("fill")
        marks = (one.get("marks") or {}).values()
        says = f"{one['code']}: {one['why']}" if one.get("code") else ""
        if fill and not fill.get("stopped"):
            says = f"{says} back-fill {fill['done']:.0%}: {describe(fill)}".strip()
        out.add_row(
            one["source"],
            min(marks)[:16] if marks else "-",
            f"{one.get('new', 0)} new of {one.get('fetched', 0)}",
            f"{quota['left']} of {quota['limit']}" if quota else "-",
            (one.get("next") or "-")[11:16] or "-",
            says,
        )
    return out
