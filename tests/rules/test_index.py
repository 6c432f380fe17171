import time

import pytest

from rules import index
from rules.event import Event
from rules.rulebook import Rulebook
from tests.rules import writing
from tests.rules.writing import event


def rule(name: str, when: str) -> str:
    return f"""
  - name: {name}
    when:
{when}
    then:
      - crm.add_note:
          email: eva@example.org
          text: "{name}"
"""


def many(count: int) -> Rulebook:
    kinds = (
        "      type: contact.unsubscribed\n      data.email: person{0}@example.org",
        "      source: at\n      type: [contact.unsubscribed, contact.changed]\n      data.last_name: [a{0}, b{0}]",
        "      type: contact.unsubscribed\n      data.reason: r{0}\n      data.num1: {{gt: 5}}",
        "      type: contact.bounced\n      data.email: {{suffix: '@d{0}.example.org'}}",
        "      type: contact.unsubscribed\n      data.city: {{ignore_case: [Größe{0}, ort{0}]}}",
    )
    rules = [rule(f"n{at}", kinds[at % len(kinds)].format(at)) for at in range(count)]
    always = [
        rule("first", "      type: contact.unsubscribed\n      data.first_name: Eva"),
        rule("second", "      source: at"),
    ]
    return writing.book("rules:\n" + "".join([always[0], *rules, always[1]]))


@pytest.fixture(scope="module")
def large() -> Rulebook:
    return many(400)


EVENTS = [
    event(email="person40@example.org", first_name="Eva"),
    event(email="person41@example.org"),
    event(last_name="b41", email="person44@example.org"),
    event("contact.changed", last_name="a81"),
    event("contact.changed", source="cmx", last_name="a81"),
    event(reason="r42", num1=6),
    event(reason="r42", num1=4),
    event("contact.bounced", email="x@d43.example.org"),
    event("contact.bounced", source="shop"),
    event(email=["person40@example.org"], reason={"a": 1}, last_name=None),
    event(email=1, last_name=True),
    event(city="GRÖSSE44"),
    event(city="Gro\u0308ße44", email="person40@example.org"),
    event(city="ORT49"),
]


@pytest.mark.parametrize("about", EVENTS)
def test_same_as_testing_all(large: Rulebook, about: Event) -> None:
    """The index leaves out no rule that fires, and keeps their order."""
    assert large.match(about).fired == large.match_all(about).fired


def test_ignored_case(large: Rulebook) -> None:
    """A text whose case is ignored is found in the index, however it is written."""
    for city in ("größe44", "GRÖSSE44", "Gro\u0308ße44", "Ort44"):
        assert [rule.name for rule in large.match(event(city=city)).fired] == ["n44", "second"]


def test_leaves_out(large: Rulebook) -> None:
    """Most rules are left out untested."""
    assert len(index.Index(large.rules).candidates({"source": "at", "type": "contact.unsubscribed", "data": {}})) < 10


def test_small_books_explain() -> None:
    """In a small book every rule of the event's type is tested, so the story of an event names them."""
    matching = many(8).match(event(email="nobody@example.org"))
    assert {miss.rule.name for miss in matching.missed} >= {"n0", "n4", "first"}


def test_flat() -> None:
    """Matching costs about the same with many rules as with few."""

    def cost(book: Rulebook) -> float:
        about = event(email="nobody@example.org", first_name="Eva")
        assert [each.name for each in book.match(about).fired] == ["first", "second"]
        best = 1.0
        for _ in range(7):
            started = time.perf_counter()
            for _ in range(200):
                book.match(about)
            best = min(best, time.perf_counter() - started)
        return best

    few, lots = many(10), many(2_000)
    # The bound is 1.5; twice of it leaves room for a busy machine. The figure itself is bench's.
    assert cost(lots) <= 3.0 * cost(few)
