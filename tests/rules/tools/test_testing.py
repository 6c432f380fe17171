from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rules.event import Event
from rules.rulebook import Source
from rules.source.problem import as_annotations
from rules.tools import testing
from rules.tools.testing import ReadRaw, Results
from tests.rules import writing

RULES = """
rules:
  - name: booked
    when:
      type: booking.created
      data.status: confirmed
    look_up:
      booker:
        api.person:
          id: "{{ data.booker.id }}"
    then:
      - crm.upsert_contact:
          email: "{{ booker.email }}"
          last_name: "{{ booker.last_name | omit }}"
      - invoicing.create_invoice:
          reference: "SD-{{ data.id }}"
          customer:
            email: "{{ booker.email }}"
          lines: []
        next:
          - crm.add_note:
              email: "{{ booker.email }}"
              text: "Invoice {{ result.id }}."
"""

GIVEN = """
tests:
  - name: a booking
    given:
      source: sd_nord
      event:
        type: booking.created
        data:
          id: 9001
          status: confirmed
          booker: {id: 4711, name: Ada}
          guests: [{id: 1}]
      look_up:
        booker: {email: ada@example.org, last_name: Beispiel}
    expect:
"""


def read_raw(source: Source, body: Any, name: str | None) -> Sequence[Event]:
    if body == "broken":
        raise ValueError("no body of ours")
    return [writing.event(name or "contact.unsubscribed", source.name, **body)]


def run(expect: str, rules: str = RULES, given: str = GIVEN) -> Results:
    book = writing.book(rules, given + "\n".join(f"      {line}" for line in expect.strip("\n").split("\n")) + "\n")
    return testing.run(book, Path("nowhere"), read_raw)


EXACT = """
- crm.upsert_contact:
    email: ada@example.org
    last_name: Beispiel
- invoicing.create_invoice:
    reference: SD-9001
"""


HELD = """
business_hours:
  days: mon-fri
  hours: 08:00-10:00
  zone: Europe/Berlin
"""


def test_held_until() -> None:
    """`held_until` is compared where the test says it: a time in the zone of the hours, or null for at once."""
    rules = HELD + RULES.replace("    then:", "    delay: 5m\n    hold: until business hours\n    then:", 1)
    first, second = EXACT.strip().split("\n- ")
    expected = f"{first}\n  held_until: 2026-01-16 08:00\n- {second}\n  held_until: 2026-01-16T07:00:00Z"
    assert run(expected, rules).passed
    assert run(EXACT, rules).passed
    assert run(f"{first}\n  held_until: null\n- {second}", rules).failed[0].lines == (
        "- crm.upsert_contact sent at once",
        "+ crm.upsert_contact held until 2026-01-16T07:00:00.000Z: "
        "the delay of its rule, then business hours (mon-fri 08:00-10:00 Europe/Berlin)",
    )
    open_now = rules.replace("10:00", "18:00").replace("    delay: 5m\n", "")
    assert run(f"{first}\n  held_until: null\n- {second}", open_now).passed
    assert run(f"{first}\n  held_until: 2026-01-16 08:00\n- {second}", open_now).failed[0].lines == (
        "- crm.upsert_contact held until 2026-01-16T07:00:00.000Z",
        "+ crm.upsert_contact sent at once",
    )


def test_held_until_of_what_follows() -> None:
    """What stands under `next` is held as well."""
    rules = HELD + RULES.replace("    then:", "    hold: until business hours\n    then:", 1)
    following = "  result: {id: i1}\n  next:\n    - crm.add_note:\n      held_until: "
    assert run(f"{EXACT.strip()}\n{following}2026-01-16 08:00", rules).passed
    (failed,) = run(f"{EXACT.strip()}\n{following}2026-01-16 09:00", rules).failed
    assert failed.lines[0] == "- crm.add_note held until 2026-01-16T08:00:00.000Z"


@pytest.mark.parametrize("wrong", ["2026-01-16", "tomorrow", "7", "[1]"])
def test_held_until_is_an_instant(wrong: str) -> None:
    """A date alone, or anything else, is refused; without business hours a time needs its offset."""
    for hours, text in ((HELD, wrong), ("", "2026-01-16 08:00")):
        given = GIVEN + f"      - crm.upsert_contact:\n        held_until: {text}\n"
        (problem,) = writing.checked(hours + RULES, given).problems
        assert problem.text == "held_until must be a date and a time"


def test_exactly() -> None:
    """A list expects exactly these actions, in this order, with the arguments that it names."""
    assert run(EXACT).passed
    assert not run("\n".join(EXACT.strip().split("\n")[:3])).passed
    swapped = EXACT.strip().split("\n")
    assert not run("\n".join([*swapped[3:], *swapped[:3]])).passed


def test_in_part() -> None:
    """`contains` expects some of the actions, in any order, with some of their arguments."""
    assert run("contains:\n  - invoicing.create_invoice:\n      customer: {}\n").passed
    assert run("contains:\n  - crm.upsert_contact: {}\n").passed
    assert not run("contains:\n  - crm.upsert_contact: {last_name: Other}\n").passed
    assert not run("contains:\n  - crm.upsert_contact: {}\n  - crm.upsert_contact: {}\n").passed


def test_nothing() -> None:
    """`nothing` expects no action at all."""
    assert not run("nothing").passed
    assert run("nothing", given=GIVEN.replace("status: confirmed", "status: pending")).passed


def test_left_out() -> None:
    """An expected null is a null, and what is expected not to exist was left out."""
    absent = GIVEN.replace(", last_name: Beispiel", "")
    as_null = RULES.replace('last_name: "{{ booker.last_name | omit }}"', "last_name: null")
    assert as_null != RULES
    null, left_out = EXACT.replace("Beispiel", "null"), EXACT.replace("Beispiel", "{exists: false}")
    for expect, rules, given, passed in (
        (left_out, RULES, absent, True),
        (null, RULES, absent, False),
        (left_out, RULES, GIVEN, False),
        (null, as_null, GIVEN, True),
        (left_out, as_null, GIVEN, False),
    ):
        assert run(expect, rules=rules, given=given).passed is passed
        assert run("contains:\n" + "\n".join(f"  {line}" for line in expect.split("\n")), rules, given).passed is passed
    (result,) = run(null, given=absent).results
    assert "+     last_name:" in result.lines
    assert "+       exists: false" in result.lines


def test_true_is_not_one() -> None:
    """Values are compared as JSON: true is not 1, and 1 is 1.0."""
    rules = RULES.split("      - invoicing")[0].replace("crm.upsert_contact", "crm.set_consent")
    rules = rules.replace('last_name: "{{ booker.last_name | omit }}"', "newsletter: true")
    assert run("- crm.set_consent: {newsletter: true}", rules=rules).passed
    assert not run("contains:\n  - crm.set_consent: {newsletter: 1}", rules=rules).passed


def test_next() -> None:
    """What follows is expected under `next:`, with the `result:` that it sees."""
    expect = EXACT + '  result: {id: "77"}\n  next:\n    - crm.add_note:\n        text: Invoice TEXT.\n'
    assert run(expect.replace("TEXT", "77")).passed
    (result,) = run(expect.replace("TEXT", "78")).results
    assert result.lines[0] == "after invoicing.create_invoice:"


def test_difference() -> None:
    """A wrong test shows what was expected and what came, as the book would write it."""
    (result,) = run(EXACT.replace("Beispiel", "Muster")).results
    assert "-     last_name: Muster" in result.lines
    assert "+     last_name: Beispiel" in result.lines


def test_look_up_unanswered() -> None:
    """A rule that looks something up needs the answer from the test, and says so."""
    (result,) = run(EXACT, given=GIVEN.split("      look_up")[0] + "    expect:\n").results
    assert result.lines == ('the rule "booked" looks up booker: answer it under given: look_up: booker:',)


def test_broken() -> None:
    """A body that cannot be read, a missing fixture and data that does not fit fail the test, not the run."""
    tests = """
tests:
  - name: body
    given: {source: at, body: broken}
    expect: nothing
  - name: fixture
    given: {source: at, fixture: ../../etc/passwd}
    expect: nothing
  - name: missing
    given: {source: at, fixture: none.json}
    expect: nothing
  - name: data
    given: {source: sd_nord, event: {type: booking.created, data: {id: x}}}
    expect: nothing
"""
    results = testing.run(writing.book(tests), Path(__file__).parents[1] / "books" / "language", read_raw).results
    assert [result.passed for result in results] == [False] * 4
    assert [result.lines[0].split(":")[0] for result in results] == [
        "the body cannot be read as activetrail sends it",
        "the fixture ../../etc/passwd is outside the book",
        "there is no fixture none.json in the book",
        "data does not fit booking.created",
    ]


def test_value_failed() -> None:
    """A value that cannot be made fails the test with rule, action and path."""
    (result,) = run(EXACT, given=GIVEN.replace("email: ada@example.org, ", "")).results
    assert not result.passed
    assert 'rule "booked", crm.upsert_contact' in result.lines[0]


def test_coverage() -> None:
    """The run says which ways through the rules no test went."""
    results = run(EXACT)
    assert [(branch.rule, branch.what) for branch in results.unreached] == [("booked", "takes crm.add_note")]
    assert results.coverage == 3 / 4
    silent = run("nothing", given=GIVEN.replace("status: confirmed", "status: pending"))
    assert [(branch.rule, branch.what) for branch in silent.unreached] == [("booked", "fires")]


def test_names() -> None:
    """Some tests can be run alone."""
    book = writing.book(RULES, GIVEN + "      nothing\n")
    assert testing.run(book, Path("nowhere"), read_raw, names=["another"]).results == ()


GROUPS = """
rules:
  - name: groups
    when:
      type: contact.unsubscribed
      any_of:
        - data.reason: moved
        - data.city: Berlin
    then:
      - crm.add_note:
          email: "{{ data.email }}"
          text: Left.
        only_if:
          any_of:
            - data.ext1: DE
            - any_of:
                - data.ext1: AT
                - data.ext1: CH
  - name: about something else
    when:
      type: contact.changed
      any_of:
        - data.city: Berlin
    then:
      - crm.add_note:
          email: "{{ data.email }}"
          text: Came.
tests:
  - name: moved within Austria
    given:
      source: at
      event:
        type: contact.unsubscribed
        data: {email: eva@example.org, reason: moved, ext1: AT}
    expect:
      - crm.add_note: {}
"""


def test_coverage_of_groups() -> None:
    """Each group of any_of has two ways, it holds and it does not; what no test shows is said, also inside only_if."""
    results = testing.run(writing.book(GROUPS), Path("nowhere"), read_raw)
    assert results.passed
    unreached = {branch.what for branch in results.unreached if branch.rule == "groups"}
    assert unreached == {
        "when: group 1 of any_of does not hold",
        "when: group 2 of any_of holds",
        "skips crm.add_note",
        "crm.add_note only_if: group 1 of any_of holds",
        "crm.add_note only_if: group 2 of any_of does not hold",
        "crm.add_note only_if: group 2.1 of any_of does not hold",
        "crm.add_note only_if: group 2.2 of any_of holds",
    }
    other = {branch.what for branch in results.unreached if branch.rule == "about something else"}
    assert other == {"fires"}


def test_junit() -> None:
    """JUnit's XML has each test with its place, and what came instead."""
    results = run(
        EXACT.replace("Beispiel", "Muster\\u0001 <b>")
        .replace("last_name: Muster", 'last_name: "Muster')
        .replace("<b>", '<b>"')
    )
    suite = ElementTree.fromstring(testing.as_junit(results, "book"))  # noqa: S314 - our own
    assert (suite.tag, suite.attrib["tests"], suite.attrib["failures"]) == ("testsuite", "1", "1")
    (case,) = suite
    assert case.attrib["file"].startswith("book/")
    assert int(case.attrib["line"]) > 0
    assert "+     last_name: Beispiel" in (case[0].text or "")
    passed = ElementTree.fromstring(testing.as_junit(run(EXACT)))  # noqa: S314 - our own
    assert (passed.attrib["failures"], len(passed[0])) == ("0", 0)


def test_annotations() -> None:
    """A failed test is an annotation of GitHub at its line; one that passed is none."""
    (problem,) = testing.as_problems(run(EXACT.replace("Beispiel", "Muster")))
    text = as_annotations([problem], "book")
    assert text.startswith(f"::error file=book/{problem.file},line={problem.line},")
    assert "%0A+     last_name: Beispiel" in text
    assert testing.as_problems(run(EXACT)) == []


OBSERVED = RULES.replace("    then:\n", "    mode: observe\n    then:\n", 1)


def test_observed() -> None:
    """What observed rules ask for is expected apart; where a test does not say, only what is sent counts."""
    assert OBSERVED != RULES
    wanted = "observed:\n" + "".join(f"  {line}\n" for line in EXACT.strip().split("\n"))
    assert run("nothing", rules=OBSERVED).passed
    assert run(wanted, rules=OBSERVED).passed
    assert run(wanted + "contains: []\n", rules=OBSERVED).passed
    assert not run(wanted).passed
    assert not run("observed: nothing", rules=OBSERVED).passed
    (result,) = run(wanted.replace("SD-9001", "SD-9002"), rules=OBSERVED).results
    assert all(line.startswith("observed: ") for line in result.lines)
    assert "observed: -     reference: SD-9002" in result.lines


def test_stale() -> None:
    """With `newest:` a test says what its person did; what a rule leaves out then is a way of its own through it."""
    rules = """
rules:
  - name: changed
    when:
      type: contact.changed
    not_older_than: contact.unsubscribed
    then:
      - crm.add_note:
          email: "{{ data.email }}"
          text: Changed.
"""
    given = """
tests:
  - name: left since
    given:
      source: at
      event:
        type: contact.changed
        time: 2026-01-15T10:00:00Z
        data: {email: eva@example.org}
      newest:
        contact.unsubscribed: 2026-01-15T11:05:00+01:00
    expect: nothing
"""
    results = testing.run(writing.book(rules, given), Path(), read_raw)
    assert results.passed
    assert [each.code for each in results.results[0].skipped] == ["stale"]
    assert {branch.what for branch in results.reached} == {"fires", "leaves out what is stale"}
    later = testing.run(writing.book(rules, given.replace("11:05", "10:55")), Path(), read_raw)
    assert not later.passed
    assert {branch.what for branch in later.reached} == {"fires", "takes crm.add_note"}


def test_places_that_find_nothing() -> None:
    """A place of a source that finds nothing in any body of its tests is named where its first test stands."""
    given = """
tests:
  - {name: one, given: {source: shop, body: {data: {}}}, expect: {}}
  - {name: two, given: {source: shop, body: {data: {}}}, expect: {}}
  - {name: no body, given: {source: shop, event: {type: order.paid, data: {}}}, expect: {}}
"""
    book = writing.book("vars: {}\n", given)

    def read(*unread: tuple[str, ...]) -> ReadRaw:
        left = iter(unread)
        return lambda source, body, name: [replace(writing.event("order.paid", "shop"), unread=next(left))]

    both = list(testing.find_empty_places(book, Path("nowhere"), read(("read.type", "x"), ("read.type", "read.time"))))
    place = "read: type: body.event of the source shop finds nothing in any body of its tests (2)"
    assert [(each.text, each.code, each.severity, each.line) for each in both] == [
        (place, "finds_nothing", "warning", book.tests[0].line)
    ]
    assert list(testing.find_empty_places(book, Path("nowhere"), read(("read.type",), ()))) == []
