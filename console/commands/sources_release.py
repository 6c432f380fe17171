"""`relais sources release`."""

import json

import click

from console import bulk, held_events
from console.client import ConsoleClient


@click.command()
@click.argument("source")
@held_events.filters
@click.option("--with-older", is_flag=True, help="Also what stands before them, of the same persons.")
@bulk.decision
def command(
    source: str,
    kind: str,
    before: int,
    events: tuple[str, ...],
    with_older: bool,
    reason: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Let what waits of a held source be routed, all of it or some.

    Without a choice the source is held no longer. With one it stays held and the chosen are routed. Nothing overtakes:
    what stands behind held events of the same person is said, and waits for these unless --with-older releases them.

    \b
    Examples:
      relais sources release shop
      relais sources release shop --type contact.unsubscribed --with-older
      relais sources release shop --before 2026-11-29T10:00 --yes
    """
    if not (kind or before or events):
        client = ConsoleClient.from_settings()
        said = client.post(held_events.path_of(source, "release"), {"reason": reason})
        if as_json:
            click.echo(json.dumps(said))
        else:
            click.echo(f"{source} is held no longer." if said["changed"] else f"{source} was not held.")
        return
    how = {"with_older": with_older, "reason": reason}
    held_events.decide("release", source, kind, before, events, yes=yes, as_json=as_json, **how)
