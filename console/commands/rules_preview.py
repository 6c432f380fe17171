"""`relais rules preview`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from console import book, event_files, json_output, replay
from console import stored_events as recorded_events
from console.errors import SAID_NO, UserError
from console.event_files import read_answers
from console.render.tables import say_count
from console.stored_events import RecordedEvents
from rules.event import Event
from rules.matching.path import ABSENT
from rules.rulebook import Rulebook
from rules.source import units
from rules.tools import preview
from rules.tools.preview import Preview, Sample


def span(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    """Return `7d` as milliseconds."""
    if text is None:
        return None
    try:
        return units.duration(text)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


@click.command()
@click.argument("new", type=click.Path(exists=True, path_type=Path))
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--since", metavar="TIME", callback=span, help="Events that came in, instead of FILES: 12h, 7d.")
@click.option("--look-up", "answers", multiple=True, metavar="NAME=JSON", help="The answer to a look-up.")
@click.option(
    "--book", "folder", type=click.Path(path_type=Path), help="The book of now [RELAIS_BOOK; with --since: in force]."
)
@json_output.option
def command(
    new: Path,
    files: tuple[Path, ...],
    since: int | None,
    answers: tuple[str, ...],
    folder: Path | None,
    as_json: bool,
) -> None:
    """Show what a new book would do differently.

    FILES are bodies or events, or folders of them, as for `relais replay`. With --since the events are those that came
    in, as far as their payloads are still in the store, and the book of now is the one in force; this needs the store
    (REDIS_URL, or the data folder of `relais up`). The answers to look-ups are not kept: a rule that asks for the same
    is the same whatever they are, of a changed one it says so. Status 1 when any delivery would be added, gone or
    changed, or may be; a rule that would fail counts, too.

    \b
    Examples:
      relais rules preview new_book --since 7d
      relais rules preview new_book tests/fixtures
      relais rules preview new_book bodies --look-up booker='{"id": 4711}'
    """
    if (since is None) is not bool(files):
        raise click.UsageError("name FILES, or say --since 7d" if since is None else "FILES or --since, not both")
    new_book = book.load(new)
    if since is None:
        old_book = book.load(folder)
        recorded = RecordedEvents(of_files(files, old_book))
    else:
        recorded = recorded_events.since(since)
        old_book = book.load(folder) if folder else recorded_events.book_in_force()
    known = read_answers(answers)
    found = preview.preview(old_book, new_book, recorded.events, lambda asked, *_: known.get(asked.name))
    if as_json:
        told = {**found.as_json(), "payloads": {"gone": recorded.gone, "unreadable": recorded.unreadable}}
        json_output.write(told)
    else:
        show(found)
        show_missing(recorded)
    if found.differs:
        raise SystemExit(SAID_NO)


def of_files(files: tuple[Path, ...], of: Rulebook) -> list[Event]:
    """Return the events of files; those that no source of the book sends are left out, and said."""
    events: list[Event] = []
    for file in replay.find_bodies(files):
        try:
            events += event_files.read_events(file, of)
        except UserError as exc:
            click.echo(f"left out: {exc.message}", err=True)
    return events


def show(found: Preview) -> None:
    """Print the differences by rule."""
    signs = {"added": ("+", "green"), "gone": ("-", "red"), "changed": ("~", "yellow"), "failing": ("!", "red")}
    for difference in found.differences:
        sign, colour = signs[difference.change]
        what = difference.action or f"would fail: {difference.why}"
        click.secho(f"{sign} {difference.count} {what}  ({difference.rule})", fg=colour)
        for sample in difference.samples:
            click.echo(f"    {sample.event_type} {sample.event_id}")
            for line in told(sample):
                click.echo(f"      {line}")
    for rule, reasons in found.undecided.items():
        for reason, count in reasons.items():
            click.echo(f"? {count} not decided  ({rule}): {reason}")
    observed = found.observed_before or found.observed_after
    if found.guarded:
        names = ", ".join(sorted(found.guarded))
        click.echo(f"not_older_than is judged by these events alone, not by what came before them: {names}", err=True)
    if found.echoes:
        names = ", ".join(sorted(found.echoes))
        click.echo(f"judged as if Relais had caused none of them itself (those end as echo): {names}", err=True)
    click.echo(
        f"{say_count(found.events, 'event')}: {say_count(found.same, 'delivery', 'deliveries')} the same, "
        f"{found.count('added')} added, "
        f"{found.count('gone')} gone, {found.count('changed')} changed, {found.count('failing')} failing; "
        f"unmatched {found.unmatched_before} now, {found.unmatched_after} then"
        + (f"; observed {found.observed_before} now, {found.observed_after} then" if observed else ""),
        err=True,
    )


def show_missing(recorded: RecordedEvents) -> None:
    """Say what could not be looked at."""
    if recorded.gone:
        click.echo(
            f"of {recorded.gone} more events the payload is erased, as it is once an event is settled; "
            "sources with retain: 7d keep it so long",
            err=True,
        )
    if recorded.unreadable:
        click.echo(f"{recorded.unreadable} more cannot be read, or are in quarantine", err=True)
    if recorded.cut:
        click.echo(f"these are the first {len(recorded.events)}; there are more", err=True)


def told(sample: Sample) -> list[str]:
    """Return the arguments of a delivery that comes or goes, or what is otherwise of one that changes."""
    before, after = sample.before, sample.after
    if before is None or after is None:
        action = before or after
        return [_shown(dict(action.arguments))] if action else []
    one, other = (
        {**each.arguments, "options": asdict(each.options), "touches": each.touched, "once by": each.once_by}
        for each in (before, after)
    )
    return [f"{path}: {was} -> {is_now}" for path, was, is_now in differences(one, other)] or ["another next:"]


def differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield each place at which two JSON values differ, with both."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            inner = f"{path}.{key}" if path else str(key)
            yield from differences(before.get(key, ABSENT), after.get(key, ABSENT), inner)
    elif before != after:
        yield path, _shown(before), _shown(after)


def _shown(value: Any) -> str:
    return "nothing" if value is ABSENT else json.dumps(value, ensure_ascii=False, default=str)
