"""Bounds on rendering: how much work and time it takes, how large a value becomes, and whether JSON can carry it.

Comes in: what a template is about to do, and its result. Goes out: nothing, the same value, or ValueFailed. Never puts
the value into an error. The one clock of `rules` is here: it ends what takes too long, and decides nothing else.
"""

import json
import math
import threading
import time
from typing import Any, Final, NoReturn

from rules.errors import ValueFailed
from rules.values import filters

#: What the values of one rule may cost for one event: characters that filters read and templates write.
MOST_WORK: Final = 50_000_000
#: What an element of a list costs.
OF_AN_ELEMENT: Final = 20
#: Shorter texts are not counted: what reads many of them is a loop, and its rounds are.
WORTH_COUNTING: Final = 400  # characters
#: Seconds of the processor for the values of one rule. It is the thread's own time: a busy host ends nothing early.
LONGEST_RENDER: Final = 0.12
#: Longer texts and lists are no input of a filter.
LONGEST_INPUT: Final = 1_048_576  # characters
MOST_ELEMENTS: Final = 100_000


class _Budget(threading.local):
    """What is left of the budget of the rule that this thread renders. Its clock starts when something is spent."""

    work = MOST_WORK
    until = 0.0


_budget: Final = _Budget()


def begin() -> None:
    """Begin a new budget: for the actions of a rule, or for a look-up."""
    _budget.work, _budget.until = MOST_WORK, 0.0


def spend(work: int) -> None:
    """Take work off the budget. Raises ValueFailed where work or time is used up."""
    now = time.thread_time()
    _budget.work -= work
    _budget.until = _budget.until or now + LONGEST_RENDER
    if _budget.work < 0 or now > _budget.until:
        raise ValueFailed("", "takes too long to compute")


def spend_on(value: Any) -> None:
    """Take the reading of a value off the budget. Raises ValueFailed where it is too large to be read."""
    if value.__class__ is str:
        length = len(value)
        if length > WORTH_COUNTING:
            if length > LONGEST_INPUT:
                raise ValueFailed("", f"is longer than {LONGEST_INPUT} characters")
            spend(length)
    elif value.__class__ is list or value.__class__ is dict:
        if len(value) > MOST_ELEMENTS:
            raise ValueFailed("", f"has more than {MOST_ELEMENTS} elements")
        if len(value) > OF_AN_ELEMENT:
            spend(len(value) * OF_AN_ELEMENT)


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
    spend_on(value)
    try:
        text = _written(value)
        if not text.isascii():
            text.encode()
    except (ValueError, TypeError, RecursionError):
        raise ValueFailed(label, "cannot be written as JSON") from None
    if len(text) > filters.LONGEST:
        raise ValueFailed(label, f"longer than {filters.LONGEST} characters")
