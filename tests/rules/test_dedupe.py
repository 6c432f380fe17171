"""`dedupe:` of a source: its key, and what is refused."""

import pytest
from pydantic import ValidationError

from rules.dedupe import DedupeOptions
from tests.rules import writing

EVENT = writing.event("order.paid", "shop", id=7, about=None, email="eva@example.org")


def mark(key: str | tuple[str, ...], content: bytes = b"") -> str:
    return DedupeOptions.model_validate({"window": "1h", "key": key}).mark(EVENT, content)


def test_key() -> None:
    """The same fields make the same mark, whatever else there is; without a key the content does."""
    assert mark("data.id") == mark(("data.id",)) == mark("data.id", b"x") != mark("data.email")
    assert mark(("data.id", "data.email")) != mark(("data.email", "data.id"))
    assert mark((), b"a") != mark((), b"b")
    assert "eva" not in mark("data.email")


def test_field_that_is_not_there() -> None:
    """Where a field of the key is absent or null, nothing is the same."""
    assert mark("data.none") == mark("data.about") == mark(("data.id", "raw.none")) == ""


@pytest.mark.parametrize(
    ("window", "key", "says"),
    [
        ("0", None, "between 1s and 31d"),
        ("32d", None, "between 1s and 31d"),
        ("1h", "body.id", "as rules name it"),
        ("1h", "data", "as rules name it"),
        ("1h", "subject.x", "as rules name it"),
        ("1h", "data.items[].id", "any element"),
        ("1h", "data..id", "no field of an event"),
        ("1h", ["data.id"] * 21, "at most 20"),
    ],
)
def test_refused(window: str, key: object, says: str) -> None:
    """What could never hold is refused."""
    with pytest.raises(ValidationError, match=says):
        DedupeOptions.model_validate({"window": window, "key": key})
