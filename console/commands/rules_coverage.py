"""`relais rules coverage`."""

import time

import click

from console import json_output
from console.client import ConsoleClient
from console.commands.rules_preview import span
from console.render import rules, tables


@click.command()
@click.option("--since", metavar="TIME", callback=span, default="7d", help="How far back: 24h, 7d [7d; 31d at most].")
@json_output.option
def command(since: int, as_json: bool) -> None:
    """Say of each rule how often it fired and when last, and which never do.

    Counted by whole days (UTC), for 31 days. A rule that never fired matched nothing, or each event that it matched
    ended at a rule above with `stop: true`.

    \b
    Examples:
      relais rules coverage
      relais rules coverage --since 31d --json
    """
    start = max(0, time.time_ns() // 1_000_000 - since)
    found = ConsoleClient.from_settings().get(f"/book/coverage?since={start}")
    if as_json:
        json_output.write(found)
        return
    tables.out().print(rules.coverage(found))
    click.echo(rules.summary(found), err=True)
