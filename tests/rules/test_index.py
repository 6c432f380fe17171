import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import index
from rules.event import Event
from rules.rule import FIRES, Facts
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
    assert len(index.Index(large.rules).candidates(Facts(event(), {})).rules) < 10


def test_body_as_it_came() -> None:
    """In a large book, too, a rule may compare the vendor's body with texts, however it composes letters."""
    book = writing.book("rules:\n" + "".join(rule(f"n{at}", f"      raw.größe: g{at}") for at in range(40)))
    for body in ('{"größe": "g7"}', '{"gro\u0308ße": "g7"}'):
        assert [each.name for each in book.match(event(body=body.encode())).fired] == ["n7"]


def test_small_books_explain() -> None:
    """In a small book every rule of the event's type is tested, so the story of an event names them."""
    matching = many(8).match(event(email="nobody@example.org"))
    assert {miss.rule.name for miss in matching.missed} >= {"n0", "n4", "first"}


#: Rules that a few texts decide, wholly or in part, and some that they do not.
MIXED = """
    rules:
    - {name: by one text, when: {source: at, type: contact.changed, data.city: Berlin}, then: &then
        [crm.add_note: {email: eva@example.org, text: Hello}]}
    - {name: by two, when: {type: contact.changed, data.city: [Bern, Kölln], data.status: new}, then: *then}
    - {name: by a text and more, when: {type: contact.changed, data.city: Berlin, data.num1: {gt: 5}}, then: *then}
    - {name: by more and a text, when: {type: contact.changed, data.num1: {gt: 5}, data.city: Bern}, then: *then}
    - {name: by a number, when: {type: contact.changed, data.num1: 7}, then: *then}
    - {name: unless, when: {type: contact.changed, data.city: Bern}, unless: {data.status: old}, then: *then}
    - {name: in a group, when: {type: contact.changed, data.city: Bern, any_of: [{data.num1: 6}]}, then: *then}
    - {name: of the body, when: {type: contact.changed, raw.city: Bern}, then: *then}
    - {name: whoever, when: {source: at}, then: *then}
    - {name: ends, when: {type: contact.changed, data.city: Kölln, data.num1: {exists: true}}, stop: true, then: *then}
    - {name: behind, when: {type: contact.changed, data.status: new}, then: *then}
"""
#: Rules that texts decide wholly; and the same, one of which ends the file.
PLAIN = """
    rules:
    - {name: one city, when: {type: contact.changed, data.city: Berlin}, then: &then
        [crm.add_note: {email: eva@example.org, text: Hello}]}
    - {name: cities, when: {type: contact.changed, data.city: [Bern, Kölln]}, then: *then}
    - {name: new, when: {type: contact.changed, data.status: new, data.city: [Bern, Berlin]}, then: *then}
    - {name: observed, mode: observe, when: {type: contact.changed, data.status: old}, then: *then}
    - {name: whatever, when: {type: contact.changed}, then: *then}
"""
MIXED_BOOK, PLAIN_BOOK = writing.book(MIXED), writing.book(PLAIN)
STOPS_BOOK = writing.book(PLAIN.replace("{name: cities,", "{name: cities, stop: true,"))
CITIES: tuple[object, ...] = ("Berlin", "Bern", "Kölln", "Ko\u0308lln", "Ulm", "", None, 5, True, ["Bern"], {"a": 1})


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "city": st.sampled_from(CITIES),
                "status": st.sampled_from(["new", "old", "other", None]),
                "num1": st.sampled_from([4, 6, 7, "7", None]),
            },
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["at", "cmx"]),
    st.sampled_from([MIXED_BOOK, PLAIN_BOOK, STOPS_BOOK]),
)
def test_decided_by_texts(data: list[dict[str, Any]], source: str, book: Rulebook) -> None:
    """A few rules fire and miss as testing each says, with the same reason, whatever came before."""
    for number, each in enumerate(data):
        about = replace(event("contact.changed", source=source, **each), id=f"e{number}")
        found, all_tested = book.match(about), book.match_all(about)
        assert (found.fired, found.observed) == (all_tested.fired, all_tested.observed)
        assert found.unreached == all_tested.unreached
        seen = (*found.fired, *found.observed, *(miss.rule for miss in found.missed))
        candidates = {rule.name for rule in seen}
        assert found.missed == tuple(miss for miss in all_tested.missed if miss.rule.name in candidates)
        assert candidates == {rule.name for rule in book.rules if rule.sources is None or source in rule.sources}


def test_decided_without_a_test() -> None:
    """What texts decide is not tested again, and no more combinations are kept than a bound says."""
    found = index.Index(MIXED_BOOK.rules)

    def decided(**data: Any) -> dict[str, Any]:
        about = event("contact.changed", source="at", **data)
        return {rule.name: known for rule, known in found.candidates(Facts(about, {})).rules}

    berlin, other = decided(city="Berlin", num1=6), decided(city="Ulm", num1=4)
    assert berlin["by one text"] is FIRES
    assert (berlin["by a text and more"], other["by more and a text"], other["of the body"]) == (None, None, None)
    assert other["by one text"] is not None
    assert other["by one text"] is decided(city="Trier")["by one text"]
    assert decided()["by one text"] is None


def test_the_same_for_many_events() -> None:
    """Events of which the same texts decide all share what follows; where a rule ends the file, none do."""
    berlin, also = event("contact.changed", city="Berlin", num1=1), event("contact.changed", city="Berlin", num1=2)
    other = event("contact.changed", city="Berlin", status="new")
    assert PLAIN_BOOK.match(replace(berlin, data={**berlin.data, "status": "x"})) is PLAIN_BOOK.match(
        replace(also, data={**also.data, "status": "y"})
    )
    assert PLAIN_BOOK.match(other) is not PLAIN_BOOK.match(replace(other, data={**other.data, "status": "x"}))
    for book, about in ((PLAIN_BOOK, berlin), (STOPS_BOOK, other), (MIXED_BOOK, other)):
        assert book.match(about) is not book.match(about)


def test_combinations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a book with endless combinations of texts a bounded number is kept."""
    monkeypatch.setattr(index, "MOST_KNOWN", 3)
    found = index.Index(MIXED_BOOK.rules)
    for city in CITIES:
        for status in ("new", "old", "other"):
            about = event("contact.changed", source="at", city=city, status=status)
            fired = [rule.name for rule, known in found.candidates(Facts(about, {})).rules if known is FIRES]
            assert ("by one text" in fired) is (city == "Berlin")


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
