"""Holds the types that a book declares for the fields of a platform (`fields:` of a source).

Comes in: an event's data as it was read, and name -> type. Goes out: data in which each declared field has that type or
is not there, and the names of those that could not be read. Never guesses: a text that could be two numbers is none.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rules.event_types.base import NO, YES, Instant, means_nothing, rfc3339, spell_out
from rules.values.filters import write_scalar

#: A number as programs write it: `12`, `-1.5`, `+5`, `1e3`, `.5`.
PLAIN_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
#: Groups of three with one sign, and decimals behind another one: `1.234,56`, `1,234.56`, `1 234,56`, `1'234.56`.
GROUPED = re.compile(
    r"([+-]?\d{1,3})((?:(?P<sign>[.,' \u00a0\u202f\u2019])\d{3})(?:(?P=sign)\d{3})*)([.,])(\d+)", re.ASCII
)
#: Decimals behind a comma. Three of them could be thousands.
COMMA = re.compile(r"([+-]?\d+),(\d{1,2}|\d{4,})", re.ASCII)
_NO_DIGIT = re.compile(r"\D")
#: Longer texts are no number.
LONGEST_NUMBER = 40
_instant: TypeAdapter[Any] = TypeAdapter(Instant)


class NotOfType(ValueError):
    """A value cannot be read as the declared type."""


def convert(data: Mapping[str, Any], types: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the data with its declared fields converted, and the names of those that were left out."""
    found: Any = dict(data)
    unread: list[str] = []
    for name, word in types.items():
        if word != "any":
            steps = [each for each in re.split(r"\.|(?<=[^.])(?=\[\])", name.removeprefix("data.")) if each]
            if _convert_at(found, steps, READERS[word]):
                unread.append(name)
    return found, tuple(unread)


def _convert_at(holder: Any, steps: list[str], read: Callable[[Any], Any]) -> bool:
    """Convert the values at a place below `holder`, whose containers are copied; return whether one was left out."""
    first, rest = steps[0], steps[1:]
    if not isinstance(holder, dict) or first not in holder:
        return False
    value, of_each = holder[first], rest[:1] == ["[]"]
    if rest and not isinstance(value, list if of_each else dict):
        return False
    if rest and not of_each:
        holder[first] = dict(value)
        return _convert_at(holder[first], rest, read)
    if len(rest) > 1:
        holder[first] = elements = [dict(each) if isinstance(each, dict) else each for each in value]
        left_out = [_convert_at(each, rest[1:], read) for each in elements]
        return any(left_out)
    try:
        holder[first] = [read(each) for each in value] if of_each else read(value)
    except NotOfType:
        del holder[first]
        return True
    return False


def read_number(value: Any) -> float | int | None:
    """Return a number; null for an empty text. Raises NotOfType."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str) and len(value) <= LONGEST_NUMBER:
        text = value.strip()
        if grouped := GROUPED.fullmatch(text):
            if grouped["sign"] != grouped[4]:
                text = f"{grouped[1]}{_NO_DIGIT.sub('', grouped[2])}.{grouped[5]}"
        elif comma := COMMA.fullmatch(text):
            text = f"{comma[1]}.{comma[2]}"
        if PLAIN_NUMBER.fullmatch(text):
            value = int(text) if text.lstrip("+-").isdigit() else float(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise NotOfType
    return value


def read_boolean(value: Any) -> bool | None:
    """Return true or false, also of `ja`, `No`, `1`; null for an empty text. Raises NotOfType."""
    if value is None or isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else "?"
    if not word:
        return None
    if word in YES or word in NO:
        return word in YES
    raise NotOfType


def write_text(value: Any) -> str | None:
    """Return a text: a number and true or false as they are written everywhere. Raises NotOfType."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return write_scalar(value)
    raise NotOfType


def read_instant(value: Any) -> str | None:
    """Return an instant as we write it, of ISO 8601 or epoch time; null for what says that there is none.

    Raises NotOfType.
    """
    if value is None or (not isinstance(value, bool) and means_nothing(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise NotOfType
    try:
        return rfc3339(_instant.validate_python(spell_out(str(value).strip())))
    except (ValidationError, OverflowError):
        raise NotOfType from None


def _read_container(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value is None or value == "":
            return None
        if not isinstance(value, kind):
            raise NotOfType
        return value

    return read


#: What each word under `fields:` reads; `any` reads nothing.
READERS: Mapping[str, Callable[[Any], Any]] = {
    "number": read_number,
    "boolean": read_boolean,
    "text": write_text,
    "instant": read_instant,
    "list": _read_container(list),
    "object": _read_container(dict),
}
