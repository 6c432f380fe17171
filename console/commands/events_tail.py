"""`relais events tail`."""

import contextlib
import json
from typing import get_args
from urllib.parse import urlencode

import click

from console.client import ConsoleClient
from console.render import events, tables
from mailroom.ledger import EventState


@click.command()
@click.option("--source", default="", help="Of this source.")
@click.option("--type", "type_", default="", help="Of this type; booking.* means all of a kind.")
@click.option(
    "--state",
    type=click.Choice(get_args(EventState)),
    metavar="STATE",
    help=f"In this state: {', '.join(get_args(EventState))}.",
)
@click.option("--destination", default="", help="With a delivery to it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(type_: str, as_json: bool, **chosen: str | None) -> None:
    """Follow events as they come in and end.

    At most eighty a second are shown; of how many more nothing is shown is said. Ctrl-C stops.

    \b
    Examples:
      relais events tail
      relais events tail --source shop --state dead
      relais events tail --json | jq .state
    """
    out = tables.out()
    asked = {"follow": "true", **{name: text for name, text in {**chosen, "type": type_}.items() if text}}
    with contextlib.suppress(KeyboardInterrupt):
        for event in ConsoleClient.from_settings().lines(f"/events?{urlencode(asked)}"):
            if as_json:
                click.echo(json.dumps(event, ensure_ascii=False))
            elif "left_out" in event:
                out.print(f"… and {event['left_out']} more", style="dim")
            else:
                out.print(events.line(event), soft_wrap=True)
