"""`relais reconcile`."""

from collections import Counter
from datetime import datetime
from typing import Any
from urllib.parse import quote

import click
from rich.table import Table

from console import bulk, json_output
from console.client import ConsoleClient
from console.commands import pull
from console.errors import SAID_NO, UserError
from console.render import tables


@click.command()
@click.argument("source")
@click.option("--since", type=bulk.Since(), required=True, help="Changed since then: 2h, 3d, 2026-11-21.")
@click.option("--dry-run", is_flag=True, help="Only say what is missing.")
@click.option("--yes", is_flag=True, help="Do it, do not ask.")
@click.option("--json", "as_json", is_flag=True, help="As JSON; takes in only with --yes.")
def command(source: str, since: int, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Compare what a platform's API says with what came, and take in what is missing.

    The receivers read the lists that the source's `pull:` names, within the quota of its key, and compare them with
    what came by webhook or was fetched. What is missing is shown; then it asks, and what is taken in travels as
    webhooks do. Done again it finds nothing. At most 31 days back: what came earlier is not known any more.

    \b
    Examples:
      relais reconcile sd --since 2026-11-21 --dry-run
      relais reconcile mailing --since 3d --yes
      relais reconcile sd --since 2h --dry-run --json
    """
    client = ConsoleClient.from_settings()
    fill = run(client, source, {"since": since, "dry": True})
    missing = fill.get("new", 0)
    if not as_json:
        show(source, fill)
    taken = 0
    if missing and not dry_run and (yes or (not as_json and click.confirm(f"Take in these {missing}?"))):
        done = run(client, source, {"since": since, "until": fill["asked_until"]})
        taken = done.get("new", 0)
    if as_json:
        told = {"source": source, "compared": fill.get("fetched", 0), "missing": missing, "taken_in": taken}
        json_output.write({**told, "events": fill.get("missing", [])})
    elif taken:
        click.echo(f"{source}: {taken} taken in.")


def run(client: ConsoleClient, source: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Let the receivers compare, or take in, and return how it ended. Raises UserError where it did not."""
    path = f"/pulls/{quote(source, safe='')}"
    client.post(f"{path}/fill", asked)
    fill: dict[str, Any] = pull.watch(client, source, gives_up=True)["fill"]
    if fill.get("ended"):
        until = pull.read_ms(datetime.fromisoformat(fill["until"]))
        return {**fill, "asked_until": until}
    client.post(f"{path}/stop", {})
    if fill.get("code"):
        raise UserError(f"{source} was not compared: {fill['code']}: {fill['why']}", status=SAID_NO)
    if not fill.get("began"):
        raise UserError("no receiver has begun with it", mend="does `relais receive` run, with this store and book?")
    raise UserError(
        "somebody stopped it, or asked for another", mend="run it again; what was taken in is known", status=SAID_NO
    )


def show(source: str, fill: dict[str, Any]) -> None:
    """Print what is missing: how many of each type, and which."""
    count = fill.get("new", 0)
    click.echo(f"{source}: {tables.say_count(fill.get('fetched', 0), 'record')} compared, {count} missing.")
    listed = fill.get("missing", [])
    if not listed:
        return
    out = Table("type", "about", "when", box=None, pad_edge=False)
    for one in listed:
        out.add_row(one["type"], one["subject"] or "-", (one["time"] or "-")[:16])
    tables.out().print(out)
    types = Counter(one["type"] for one in listed)
    more = f", and {count - len(listed)} more" if count > len(listed) else ""
    click.echo(", ".join(f"{number} {type}" for type, number in types.most_common()) + more)
