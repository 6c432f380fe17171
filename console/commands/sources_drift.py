"""`relais sources drift`."""

import json
from urllib.parse import quote

import click

from console import held_events, json_output
from console.client import ConsoleClient
from console.render import sources, tables
from console.render.tables import say_count


@click.command()
@click.argument("source", required=False)
@click.option("--accept", is_flag=True, help="Take what it sends now as usual.")
@json_output.option
def command(source: str | None, accept: bool, as_json: bool) -> None:
    """Show what changed in what sources send: fields and types.

    New types and fields, fields of another kind than before, and fields that were mostly there and are not in the
    latest samples. A sample is one event of each type and second. Compared is with what a person accepted, else with
    the first ten samples of a type, and the types of the first day. Paths and kinds only, never a value.

    \b
    Examples:
      relais sources drift
      relais sources drift shop --json
      relais sources drift shop --accept
    """
    client = ConsoleClient.from_settings()
    if accept:
        if source is None:
            raise click.UsageError("say whose: relais sources drift NAME --accept")
        said = client.post(held_events.path_of(source, "accept"), {})
        click.echo(json.dumps(said) if as_json else f"{say_count(said['ended'], 'change')} of {source} accepted.")
        return
    found = client.get(f"/sources/drift?source={quote(source, safe='')}" if source else "/sources/drift")
    if as_json:
        json_output.write(found)
    else:
        tables.out().print(sources.draw_drift(found["sources"]))
