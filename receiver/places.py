"""Places in a request, as a book writes them: `body.events[0].id`, `item["Order Id"]`, `header.X-Event`, `query.id`.

Comes in: the text of a place. Goes out: a Find, compiled once for each book, that reads the place in any request. Never
raises, whatever the request holds.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_core import from_json

from receiver.verification import VerifiedRequest
from rules.source.look_alikes import nfc

#: Reads a place: from the request, the fields of its body, and those of the entry that becomes the event.
Find = Callable[[VerifiedRequest, Any, Any], Any]
#: The parts of a request in which a place may be. `item`: the entry of the list that `items:` names, else the body.
PARTS = ("body", "item", "header", "query")

#: A name after a dot, a position in a list, a name in quotes.
_STEP = re.compile(r"""\.([^.\[\]*\s]+)|\[(\d{1,4})\]|\["([^"]+)"\]|\['([^']+)'\]""")
#: The name of a header (RFC 9110).
HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+\Z", re.ASCII)


def is_place(text: str) -> bool:
    """Say whether a text is meant as a place."""
    return re.split(r"[.\[]", text, maxsplit=1)[0] in PARTS


def parse(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the part of the request, and the steps into it. Raises ValueError."""
    part = re.split(r"[.\[]", text, maxsplit=1)[0]
    rest = text[len(part) :]
    if part not in PARTS or len(rest) < 2:
        raise ValueError("must be a place in the request: body.…, item.…, header.… or query.…")
    if part == "query":
        return part, (rest[1:],)
    if part == "header":
        if not HEADER_NAME.match(rest[1:]):
            raise ValueError("can never be found: no header has such a name")
        return part, (rest[1:],)
    steps: list[str] = []
    at = 0
    while at < len(rest):
        found = _STEP.match(rest, at)
        if found is None or (found[2] and not steps):
            raise ValueError(
                "can never be found: write names with dots between them, odd ones in quotes, and positions as [0]: "
                'body.events[0]["Event type"]'
            )
        steps.append(found[1] or found[2] or found[3] or found[4])
        at = found.end()
    return part, tuple(steps)


def step_into(value: Any, step: str) -> Any:
    """Return a member of an object, or an element of a list; None where there is none.

    A text that holds JSON (the field `payload` of a form) is looked into.
    """
    if value.__class__ is str and value[:1] in ("{", "["):
        try:
            value = from_json(value)
        except ValueError:
            return None
    if isinstance(value, dict):
        found = value.get(step)
        if found is None and not step.isascii():  # its letters may be composed of others: ö, or o and two dots
            found = next((inner for name, inner in value.items() if nfc(name) == nfc(step)), None)
        return found
    if isinstance(value, list):
        return value[int(step)] if step.isdecimal() and int(step) < len(value) else None
    return None


def find_at(value: Any, steps: Sequence[str]) -> Any:
    """Return what stands at some steps below a value; None where nothing does."""
    for step in steps:
        value = step_into(value, step)
    return value


def compile_place(text: str) -> Find:
    """Return what reads a place. Raises ValueError."""
    part, steps = parse(text)
    (first, *more) = steps
    if part == "header":
        return lambda request, body, item: _header(request, first)
    if part == "query":
        return lambda request, body, item: dict(request.query).get(first)
    if part == "item":
        return lambda request, body, item: find_at(item, steps)
    if not more and first.isascii():
        return lambda request, body, item: body.get(first)
    return lambda request, body, item: find_at(body, steps)


def _header(request: VerifiedRequest, name: str) -> str | None:
    value = request.raw.header(name)
    return value.decode("utf-8", "replace") if value is not None else None


def as_text(value: Any) -> str | None:
    """Return a text or number as the text that is meant; None for what is none, or empty."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).strip() or None
