"""`relais trigger`."""

import os
from pathlib import Path

import click

from console import book, json_output, replay, trigger
from console.commands.replay import send_and_show
from console.errors import UserError
from rules.compiler.loader import FIXTURES
from rules.source.problem import did_you_mean


@click.command()
@click.argument("source")
@click.argument("type")
@click.option("--set", "said", multiple=True, metavar="FIELD=VALUE", help="What the event should say; repeatable.")
@click.option("--people", type=click.IntRange(0, 100_000), default=0, help="Take turns among so many invented people.")
@click.option("--count", type=click.IntRange(1, 1_000_000), default=1, help="Send so many, each another event.")
@click.option(
    "--from", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A body of your own."
)
@click.option("--print", "only", is_flag=True, help="Print the bodies, a line each; send nothing.")
@click.option("--to", help="The receiver [RELAIS_HOST and RELAIS_PORT, http://127.0.0.1:8080].")
@click.option("--rate", type=click.FloatRange(0, 100_000), default=0, help="Requests a second; 0: one after the other.")
@click.option("--wait", is_flag=True, help="Wait until every event is settled, and say how it ended.")
@click.option("--within", type=click.FloatRange(0), default=60, show_default=True, help="Seconds to wait for that.")
@click.option("--book", "folder", type=click.Path(path_type=Path), help="The book [RELAIS_BOOK, rules/book].")
@json_output.option
@click.option("--junit", type=click.Path(path_type=Path), help="Also write JUnit's XML to this file; - is the output.")
def command(
    source: str,
    type: str,
    said: tuple[str, ...],
    people: int,
    count: int,
    file: Path | None,
    only: bool,
    to: str | None,
    rate: float,
    wait: bool,
    within: float,
    folder: Path | None,
    as_json: bool,
    junit: Path | None,
) -> None:
    """Send an invented webhook of a source, of any type it has.

    It begins with a body of the book's fixtures, or else with a recorded one of the source's kind, and is signed as the
    source signs. FIELD is one of the event (email, lines.0.text), or with body. before it one of the vendor's body.
    Each is another event, and of the same person unless --people says otherwise. Status 1 when anything was refused,
    or with --wait died.

    \b
    Examples:
      relais trigger cmx newsletter.signup --set email=eva@example.org --wait
      relais trigger sd_nord booking.created --people 50 --count 1000 --rate 100
      relais trigger shop order.paid --from order.json --set body.total=12
      relais trigger cmx newsletter.signup --print > signup.json
    """
    loaded = book.load(folder)
    if source not in loaded.sources:
        raise UserError(f"the book has no source {source!r}", mend=did_you_mean(source, loaded.sources))
    chosen = loaded.sources[source]
    fields = dict(_split(each) for each in said)
    examples = trigger.list_examples(chosen, type, file, book.folder(folder) / FIXTURES)
    example, bodies = trigger.make_up(examples, fields, count=count, people=people)
    if only:
        for body in bodies:
            click.echo(body.decode())
        return
    checks = replay.read_checks(chosen, os.environ, book.read_file)
    shots = [replay.build_request(example.file, body, chosen, checks) for body in bodies]
    send_and_show(shots, to=to, rate=rate, within=within if wait else None, as_json=as_json, junit=junit, repeat=count)


def _split(said: str) -> tuple[str, str]:
    name, equals, value = said.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{said!r} is not FIELD=VALUE", param_hint="--set")
    return name, value
