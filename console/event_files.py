"""Reads the events that a rule author names: a vendor's body, or an event written down.

Comes in: a path, and who would send it. Goes out: Events as the receiver would make them, or a UserError. Never
verifies: the file lies on our own disk.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from console import replay
from console.errors import SAID_NO, UserError
from receiver import errors, payload
from rules.event import Event
from rules.rulebook import Given, Rulebook, TestCase
from rules.tools.testing import TestBroken, events_of


def read_events(file: Path, book: Rulebook, *, source: str | None = None, name: str | None = None) -> Sequence[Event]:
    """Return the events of a file. Raises UserError."""
    try:
        content = file.read_bytes()
    except OSError as exc:
        raise UserError(
            f"{file} cannot be read: {exc.strerror}", mend="is its name right, and may you read it?"
        ) from exc
    written = _read_written(content)
    if written is not None:
        return _build_events(file, written, book, source)
    chosen = replay.find_source(file, book, source)
    try:
        return payload.read_payload(chosen, content, name or replay.find_event(chosen, file))
    except errors.RequestRefused as exc:
        raise UserError(
            f"{file} is no body that {chosen.name} ({chosen.kind}) sends: {exc.code}: {exc.hint}",
            mend="say who sends it and what happened: --source NAME --event NAME",
            status=SAID_NO,
        ) from exc


def _read_written(content: bytes) -> dict[str, Any] | None:
    """Return an event that somebody wrote down: an object with type and data."""
    try:
        found = json.loads(content)
    except ValueError:
        return None
    is_event = isinstance(found, dict) and isinstance(found.get("type"), str) and isinstance(found.get("data"), dict)
    return found if is_event else None


def _build_events(file: Path, written: dict[str, Any], book: Rulebook, source: str | None) -> Sequence[Event]:
    name = source or written.get("source")
    if name not in book.sources:
        raise UserError(f"{file} does not say which source of the book it is from", mend="say it: --source NAME")
    test = TestCase("given", str(file), 1, Given(str(name), event=written), ())
    try:
        return events_of(book, file.parent, payload.read_payload, test)
    except TestBroken as exc:
        raise UserError(f"{file}: {exc}", status=SAID_NO) from exc


def read_answers(answers: tuple[str, ...]) -> Mapping[str, Any]:
    """Return the answers to look-ups by name."""
    found = {}
    for answer in answers:
        name, equals, text = answer.partition("=")
        try:
            found[name] = json.loads(text)
        except ValueError:
            equals = ""
        if not equals:
            raise click.BadParameter(f"{answer!r} is not NAME=JSON", param_hint="--look-up")
    return found
