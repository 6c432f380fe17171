"""`relais sources discard`."""

import click

from console import bulk, held_events


@click.command()
@click.argument("source")
@held_events.filters
@click.option("--all", "every", is_flag=True, help="All that waits of it.")
@bulk.decision
def command(
    source: str,
    kind: str,
    before: int,
    events: tuple[str, ...],
    every: bool,
    reason: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Give up some of what waits of a held source.

    They are never routed, and their payloads are erased as after any event. Needs a --reason, which the story of each
    keeps. Says how many it would be, and asks.

    \b
    Examples:
      relais sources discard shop --type order.paid --before 2h --reason twice
      relais sources discard shop --all --reason "a test of theirs" --yes
    """
    if not reason:
        raise click.UsageError("say why: --reason")
    if not (kind or before or events or every):
        raise click.UsageError("say which: --type, --before, --event, or --all")
    held_events.decide("discard", source, kind, before, events, yes=yes, as_json=as_json, reason=reason)
