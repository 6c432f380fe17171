from dataclasses import fields

import pytest

from receiver import intake
from receiver.sources.base import SourceItem
from rules.event import Event
from rules.rulebook import Source
from tests.receiver.book import holder


@pytest.fixture
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A source of the book."""
    return holder(tmp_path_factory.mktemp("book")).gate("at").source


def test_every_field(source: Source) -> None:
    """An event that the receiver makes has every field of an event, and is as frozen as any."""
    item = SourceItem(3, b"{}", "contact.changed", "m1", "email:eva@example.org", "contact/1", identities=("a", "b"))
    made = intake.made(
        item, source, "2026-11-21T10:00:00.000Z", traceparent=b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"
    )
    assert set(vars(made)) == {each.name for each in fields(Event)}
    assert made == Event(**vars(made))
    assert (made.source, made.sender_id, made.position, made.identities) == ("at", "m1", 3, ("a", "b"))
    with pytest.raises(AttributeError):
        made.id = "another"  # type: ignore[misc]
