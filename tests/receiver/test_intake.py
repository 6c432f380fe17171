from dataclasses import fields, replace

import pytest

from receiver import intake
from receiver.sources.base import SourceItem
from rules.event import Event
from rules.rulebook import Source
from tests.receiver.book import holder


@pytest.fixture
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A source of the book."""
    return holder(tmp_path_factory.mktemp("book")).entry("at").source


def test_every_field(source: Source) -> None:
    """An event that the receiver makes has every field of an event, and is as frozen as any."""
    item = SourceItem(
        3,
        b"{}",
        "contact.changed",
        sender_id="m1",
        order_key="email:eva@example.org",
        subject="contact/1",
        identities=("a", "b"),
    )
    made = intake.build_event(
        item, source, "2026-11-21T10:00:00.000Z", traceparent=b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"
    )
    assert set(vars(made)) == {each.name for each in fields(Event)}
    assert made == Event(**vars(made))
    assert (made.source, made.sender_id, made.position, made.identities) == ("at", "m1", 3, ("a", "b"))
    with pytest.raises(AttributeError):
        made.id = "another"  # type: ignore[misc]


def items(*of: tuple[str | None, str, bytes]) -> list[SourceItem]:
    return [
        SourceItem(n, body, "contact.changed", identity=identity, sender_id=sender)
        for n, (sender, identity, body) in enumerate(of)
    ]


def ids(batch: list[SourceItem], source: Source) -> list[str]:
    intake.tell_apart(batch)
    return [intake.build_event(item, source, "2026-11-21T10:00:00.000Z").id for item in batch]


def test_equal_items_of_one_request(source: Source) -> None:
    """Equal items of one request are as many events, and the same ones when the request comes again."""
    one = ("m1", "contact/7", b"{}")
    first = ids(items(one, one, ("m1", "contact/8", b"{}"), one), source)
    assert len(set(first)) == 4
    assert ids(items(one, one), source) == first[:2]


def test_same_id(source: Source) -> None:
    """A source whose platform changes what it repeats says so: then the id alone tells its messages apart."""
    changed = items(("m1", "", b'{"attempt": 1}')), items(("m1", "", b'{"attempt": 2}'))
    assert len({ids(batch, source)[0] for batch in changed}) == 2
    assert len({ids(batch, replace(source, same_id="same"))[0] for batch in changed}) == 1
