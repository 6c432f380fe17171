"""What a book that is only observed would do otherwise, of one event: no store, no loop."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from rules.tools.preview import BookPair
from tests.workers.drain.test_loop import LOOK_UP
from tests.workers.drain.test_plan import BROKEN, book, read
from tests.workers.worker_fixture import NOTE, UPSERT, event
from workers.drain import shadow
from workers.drain.shadow import ShadowVerdict


def compare(old: str, new: str, answer: Mapping[str, Any] | None = None, **about: Any) -> ShadowVerdict:
    """Return what the new rules would do otherwise than the old ones."""
    one = read(event("e1", person=1, **about))
    return shadow.compare(BookPair(book(old), book(new)), one, lambda *_: answer, {})


def names(found: ShadowVerdict) -> list[str]:
    """Return the counters, without the version that stands in their pages."""
    return [counter.replace(found.book, "V") for counter in found.counters]


def test_same() -> None:
    """An event of which both books ask for the same is counted, and nothing is said of it."""
    found = compare(NOTE, NOTE + UPSERT, type="nobody.cares")
    assert (names(found), found.as_line()) == (["@shadow:V same"], None)


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        (NOTE, NOTE + UPSERT, ("added", "crm.upsert_contact", "keep the contact", "")),
        (NOTE + UPSERT, NOTE, ("gone", "crm.upsert_contact", "keep the contact", "")),
        (NOTE, NOTE.replace("{{ data.name }}", "Seen."), ("changed", "crm.add_note", "keep a note", "")),
    ],
)
def test_otherwise(old: str, new: str, difference: tuple[str, ...]) -> None:
    """What comes, goes or has other arguments is said by rule and action, and never a value."""
    found = compare(old, new)
    assert found.differences == (difference,)
    counted = "|".join(difference[:3])
    assert names(found) == ["@shadow:V differs", f"@shadow:V {counted}", ">shadowed:V e1"]
    assert found.as_line() == {"book": found.book, "differs": (difference,)}
    assert "eva" not in str(found)


def test_failing() -> None:
    """A rule of the new book that cannot be carried out says why, and nothing else comes of it."""
    ((change, action, rule, why),) = compare(NOTE, NOTE + BROKEN).differences
    assert (change, action, rule) == ("failing", "", "broken")
    assert "nobody_sends_this" in why


def test_look_ups() -> None:
    """A look-up of the same rule is the same whatever it brings; of a changed one nothing is known."""
    assert compare(LOOK_UP, LOOK_UP + NOTE).differences == (("added", "crm.add_note", "keep a note", ""),)
    changed = LOOK_UP.replace("{{ data.name }}", "Seen.")
    ((change, _, rule, _),) = compare(LOOK_UP, changed).differences
    assert (change, rule) == ("undecided", "first with a look-up")
    known = {"id": 1, "email": "eva@example.org"}
    assert [each[0] for each in compare(LOOK_UP, changed, known).differences] == ["changed"]


def test_never_raises(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong with it, the event goes its way; it is counted and told."""

    def explode(*_: object) -> None:
        raise RuntimeError("eva@example.org")

    monkeypatch.setattr(BookPair, "compare", explode)
    with caplog.at_level(logging.WARNING):
        found = compare(NOTE, UPSERT)
    assert (names(found), found.as_line()) == (["@shadow:V failed"], None)
    assert "RuntimeError" in caplog.text
    assert "eva" not in caplog.text
