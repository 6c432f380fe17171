"""`relais people find`."""

import sys

import click

from console import json_output
from console.client import ConsoleClient
from console.errors import SAID_NO, UserError
from console.render import events, tables


@click.command()
@click.argument("text")
@json_output.option
def command(text: str, as_json: bool) -> None:
    """Find what came of whom TEXT is about: an address, a telephone number, an id.

    - reads it from a pipe. Prints as what it was read, the hash that stands for it from now on, and the newest
    events. A
    telephone number wants its country: +49 …. An id of a system is written with it: seminardesk:profile:4711.

    \b
    Examples:
      relais people find eva@example.org
      relais people find +4930123456
      echo eva@example.org | relais people find -
    """
    if text == "-":
        text = sys.stdin.readline().strip()
    client = ConsoleClient.from_settings()
    readings = client.post("/people/find", {"text": text})["readings"]
    found = [each for each in readings if each["events"]]
    if as_json:
        people = [{**each, **client.get(f"/people/{each['who']}")} for each in found]
        json_output.write({"readings": readings, "people": people})
    elif not found:
        words = ", ".join(each["read_as"] for each in readings)
        raise UserError(f"no event of the last 31 days (read as: {words})", status=SAID_NO)
    else:
        for each in found:
            show(client, each["who"], f"read as {each['read_as']}")


def show(client: ConsoleClient, who: str, more: str = "") -> None:
    """Print whom a hash stands for: how many events, and the newest of them."""
    person = client.get(f"/people/{who}")
    states = ", ".join(f"{count} {state}" for state, count in sorted(person["states"].items()))
    click.echo(f"{who}  {more}".rstrip())
    click.echo(f"{tables.say_count(person['total'], 'event')} in 31 days: {states}")
    out = tables.out()
    out.print(events.table(person["events"], out.width))
    if person["next"]:
        click.echo(f"All of them: relais events list --who {who} --limit 500", err=True)
