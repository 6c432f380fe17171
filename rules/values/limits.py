"""Bounds on rendered values: size, and whether JSON can carry them.

Comes in: the result of a template. Goes out: the same value, or ValueFailed. Never puts the value into an error.
"""

import json
import math
from typing import Any, Final, NoReturn

from rules.errors import ValueFailed
from rules.values import filters


class Writer:
    """Collects the parts of a text and enforces the maximum length."""

    __slots__ = ("length", "parts")

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.length = 0

    def write(self, text: str) -> None:
        """Add a part."""
        self.length += len(text)
        if self.length > filters.LONGEST:
            raise_too_long()
        self.parts.append(text)


def raise_too_long() -> NoReturn:
    """Raise ValueFailed for a text that is too long."""
    raise ValueFailed("", f"becomes longer than {filters.LONGEST} characters")


def check_value(value: Any, label: str) -> Any:
    """Return the value if it can be an argument. Raises ValueFailed if it is too large or cannot be written as JSON."""
    kind = value.__class__
    if kind is str:
        if len(value) > filters.LONGEST:
            raise ValueFailed(label, f"longer than {filters.LONGEST} characters")
        if not value.isascii() and not _is_text(value):
            raise ValueFailed(label, "holds half a character, which is no text")
    elif kind is float:
        if not math.isfinite(value):
            raise ValueFailed(label, "is no number that JSON knows")
    elif kind is list or kind is dict:
        _check_size(value, label)
    return value


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


#: The JSON encoder in C is the fastest way to measure a list, and it fails on what JSON cannot carry.
_written: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _check_size(value: Any, label: str) -> None:
    """Check the size and the contents of a list or mapping. Raises ValueFailed."""
    try:
        text = _written(value)
        if not text.isascii():
            text.encode()
    except (ValueError, TypeError, RecursionError):
        raise ValueFailed(label, "cannot be written as JSON") from None
    if len(text) > filters.LONGEST:
        raise ValueFailed(label, f"longer than {filters.LONGEST} characters")
