"""`relais sources release`."""

import json

import click

from console import bulk, held_events, settings
from console.client import ClientSettings, ConsoleClient


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
    client = ConsoleClient(settings.load(ClientSettings))
    if not (kind or before or events):
        said = client.post(held_events.path_of(source, "release"), {"reason": reason})
        if as_json:
            click.echo(json.dumps(said))
        else:
            click.echo(f"{source} is held no longer." if said["changed"] else f"{source} was not held.")
        return
    items = held_events.ask(client, source)["items"]
    chosen = held_events.choose(items, kind, before, events)
    ahead = held_events.ahead_of(items, chosen)
    if with_older:
        while ahead:
            chosen += ahead
            ahead = held_events.ahead_of(items, chosen)
        chosen.sort(key=lambda one: one["number"])
    elif ahead and not as_json:
        click.echo(
            f"{len(ahead)} held events of the same persons came before some of these and are not among them: what "
            "would overtake them waits for them (--with-older releases them, too)."
        )
    would = "would be routed"
    held_events.decide(client, source, "release", would, chosen, reason=reason, yes=yes, as_json=as_json)
