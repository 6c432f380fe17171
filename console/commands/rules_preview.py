"""`relais rules preview`."""

import json
from pathlib import Path

import click

from console import book, given, replay
from console.mistake import SAID_NO, Mistake
from rules import preview
from rules.action import Action
from rules.event import Event
from rules.preview import Preview


@click.command()
@click.argument("new", type=click.Path(exists=True, path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--book", "folder", type=click.Path(path_type=Path), help="The book of now [RELAIS_BOOK, rules/book].")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(new: Path, files: tuple[Path, ...], folder: Path | None, as_json: bool) -> None:
    """Show what a new book would do differently.

    FILES are bodies or events, or folders of them, as for `relais replay`. Status 1 when any delivery would be
    added, gone or changed.

    \b
    Examples:
      relais rules preview new_book tests/fixtures
      relais rules preview new_book fixtures --json
    """
    old_book, new_book = book.load(folder), book.load(new)
    events: list[Event] = []
    for file in replay.bodies(files):
        try:
            events += given.events(file, old_book)
        except Mistake as exc:
            click.echo(f"left out: {exc.message}", err=True)
    found = preview.preview(old_book, new_book, events)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False, default=str))
    else:
        show(found)
    if found.differs:
        raise SystemExit(SAID_NO)


def show(found: Preview) -> None:
    """Print the differences by rule."""
    signs = {"added": ("+", "green"), "gone": ("-", "red"), "changed": ("~", "yellow")}
    for difference in found.differences:
        sign, colour = signs[difference.change]
        click.secho(f"{sign} {difference.count} {difference.action}  ({difference.rule})", fg=colour)
        for sample in difference.samples:
            click.echo(f"    {sample.event_type} {sample.event_id}")
            for word, action in (("now", sample.before), ("then", sample.after)):
                if action is not None:
                    click.echo(f"      {word:4} {_shown(action)}")
    for rule, reasons in found.undecided.items():
        for reason, count in reasons.items():
            click.echo(f"? {count} not decided  ({rule}): {reason}")
    click.echo(
        f"{found.events} events: {found.same} deliveries the same, {found.count('added')} added, "
        f"{found.count('gone')} gone, {found.count('changed')} changed; "
        f"unmatched {found.unmatched_before} now, {found.unmatched_after} then",
        err=True,
    )


def _shown(action: Action) -> str:
    return json.dumps(dict(action.arguments), ensure_ascii=False, default=str)
