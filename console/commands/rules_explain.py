"""`relais rules explain`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import click

from console import book, event_files, json_output, stored_events
from console.client import ConsoleClient
from console.errors import UserError
from console.render import events as event_text
from console.render import tables
from rules.action import Action, Skipped
from rules.event import moment
from rules.matching.path import ABSENT
from rules.tools import explanation
from rules.tools.explanation import Explanation, RuleExplained


@click.command()
@click.argument("event")
@click.option("--source", help="The source that sends it; otherwise the folder's name says it.")
@click.option("--event", "name", help="What happened, for platforms that tell it only in the address.")
@click.option("--look-up", "answers", multiple=True, metavar="NAME=JSON", help="The answer to a look-up.")
@click.option("--newest", multiple=True, metavar="TYPE=TIME", help="When the person's newest event of a type happened.")
@click.option("--book", "folder", type=click.Path(path_type=Path), help="The book [RELAIS_BOOK, rules/book].")
@json_output.option
def command(
    event: str,
    source: str | None,
    name: str | None,
    answers: tuple[str, ...],
    newest: tuple[str, ...],
    folder: Path | None,
    as_json: bool,
) -> None:
    """Say for every rule whether an event matches it, and where not.

    EVENT is a file with a vendor's body, a file with an event (`type`, `source`, `data`), or the id of an event that
    came in: its payload is asked about anew while it is in the store (REDIS_URL, or the data folder of `relais up`),
    else the verdict of the time is shown. What is printed holds personal data if the payload does.

    \b
    Examples:
      relais rules explain fixtures/seminardesk/booking.create.free.json
      relais rules explain signup.json --source cmx
      relais rules explain body.json --look-up booker='{"email": "a@example.org"}'
      relais rules explain body.json --newest contact.opted_in=2026-01-15T10:05Z
      relais rules explain 3kqv…
    """
    if not Path(event).exists() and "." not in event and "/" not in event:
        of_the_past(event, folder, answers, read_newest(newest), as_json)
        return
    loaded = book.load(folder)
    events = event_files.read_events(Path(event), loaded, source=source, name=name)
    known, times = event_files.read_answers(answers), read_newest(newest)
    told([explanation.explain(loaded, each, known, times) for each in events], as_json)


def read_newest(given: tuple[str, ...]) -> dict[str, str]:
    """Return type -> when its newest event happened, as `--newest` says."""
    found = {}
    for text in given:
        type, _, written = text.partition("=")
        at = moment(written)
        if at is None:
            raise click.BadParameter(f"{text} is not TYPE=TIME, such as contact.unsubscribed=2026-01-15T10:05:00Z")
        found[type] = at
    return found


def of_the_past(
    event: str, folder: Path | None, answers: tuple[str, ...], newest: Mapping[str, str], as_json: bool
) -> None:
    """Print what the rules say of an event that came in; where its payload is gone, what they said when it came."""
    try:
        payload = stored_events.one(event)
    except UserError as exc:
        why = exc.message
    else:
        told([explanation.explain(book.load(folder), payload, event_files.read_answers(answers), newest)], as_json)
        return
    found = ConsoleClient.from_settings().get(f"/events/{quote(event, safe='')}")
    if as_json:
        json_output.write({**found, "recomputed": False, "because": why})
        return
    tables.out().print(event_text.tree(found))
    click.echo(f"This is the verdict of the time: {why}.", err=True)


def told(found: Sequence[Explanation], as_json: bool) -> None:
    """Print explanations."""
    if as_json:
        json_output.write([each.as_json() for each in found])
        return
    for each in found:
        show(each)


def show(found: Explanation) -> None:
    """Print the verdict of every rule."""
    click.secho(f"{found.event.type} from {found.event.source} (book {found.book})", bold=True)
    for rule in found.rules:
        mark = click.style("✓", fg="green") if rule.fires else "·"
        observed = "  observed only: nothing is sent" if rule.observed else ""
        click.echo(f"{mark} {rule.name}  {click.style(f'{rule.file}:{rule.line}', dim=True)}{observed}")
        for line in lines(rule):
            click.echo(f"    {line}")
    if not found.fired:
        click.echo("No rule matches: the event would end as unmatched.")
    elif all(rule.observed for rule in found.fired):
        click.echo("Only observed rules match: the event would end as observed.")


def lines(rule: RuleExplained) -> list[str]:
    """Return what one rule says."""
    told = [rule.description] if rule.description else []
    for reason in rule.reasons:
        there = (
            ""
            if reason.actual is ABSENT
            else f", there is {json.dumps(reason.actual, ensure_ascii=False, default=str)}"
        )
        told.append(f"{reason.at}: {reason.why}{there}")
    if rule.note:
        told.append(rule.note)
    told += [f"looks up {asked(each)}" for each in rule.look_ups]
    told += [
        f"skips {each.destination}.{each.name}: {each.why}" if isinstance(each, Skipped) else f"→ {asked(each)}"
        for each in rule.actions
    ]
    if rule.held:
        told.append(rule.held)
    if rule.fires and not (rule.actions or rule.look_ups or rule.failed):
        told.append("asks for nothing")
    return [*told, rule.failed] if rule.failed else told


def asked(action: Action | Skipped) -> str:
    """Return an action with its arguments."""
    if isinstance(action, Skipped):
        return f"{action.destination}.{action.name}"
    return f"{action.destination}.{action.name} {json.dumps(dict(action.arguments), ensure_ascii=False, default=str)}"
