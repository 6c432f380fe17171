"""`relais events tail`."""

import contextlib
import json

import click

from console import settings
from console.client import ClientSettings, ConsoleClient
from console.render import events, tables


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(as_json: bool) -> None:
    """Follow events as they come in and end.

    Ctrl-C stops.

    \b
    Examples:
      relais events tail
      relais events tail --json | jq .state
    """
    out = tables.out()
    with contextlib.suppress(KeyboardInterrupt):
        for event in ConsoleClient(settings.load(ClientSettings)).lines("/events?follow=true"):
            if as_json:
                click.echo(json.dumps(event, ensure_ascii=False))
            else:
                out.print(events.line(event), soft_wrap=True)
