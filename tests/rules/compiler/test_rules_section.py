from dataclasses import replace

import pytest

from rules.action import Action, Skipped
from rules.rule import Facts
from tests.rules import writing
from tests.rules.writing import book, checked, event

RULE = """
rules:
  - name: a
    when: {when}
    look_up:
      person:
        {look_up}
    then:
      - crm.add_note:
          email: "{{{{ person.email }}}}"
          text: x
"""


def codes(when: str, look_up: str = "api.person: {id: 1}") -> list[str]:
    return [problem.code for problem in writing.checked(RULE.format(when=when, look_up=look_up)).errors]


@pytest.mark.parametrize(
    ("when", "found"),
    [
        ("{source: sd_nord, type: profile.updated}", []),
        ("{source: [sd_nord, sd_sued], type: profile.updated}", []),
        ("{type: profile.updated}", []),  # the generic source has no api, and may send nothing of the kind
        ("{source: [sd_nord, shop], type: profile.updated}", ["no_api"]),
        ("{source: at, type: contact.changed}", ["no_api"]),
        ("{type: [profile.updated, contact.changed]}", ["no_api"]),
    ],
)
def test_api(when: str, found: list[str]) -> None:
    """`api.` needs an API at every source that can send the rule's events."""
    assert codes(when) == found


@pytest.mark.parametrize(
    ("look_up", "found"),
    [
        ("sd_nord_api.person: {id: 1}", []),
        ("sd_nord_api.persn: {id: 1}", ["unknown_action"]),
        ("sd_nord_api.person: {}", ["missing_argument"]),
        ("sd_nord_api.person: {id: '{{ data.nothing }}'}", ["unknown_field"]),
        ("sd_nord_api.add_external_reference: {invoice: 1, external_id: x}", ["wrong_place"]),
        ("nowhere.person: {id: 1}", ["unknown_destination"]),
        ("- sd_nord_api.person", ["wrong_shape"]),
    ],
)
def test_look_up(look_up: str, found: list[str]) -> None:
    """A look-up asks one thing that the destination can answer, with arguments that fit."""
    assert codes("{type: profile.updated}", look_up) == found


def test_look_ups_see_earlier_ones() -> None:
    """A look-up may use the results of those above it, not of those below."""
    text = """
    rules:
      - name: a
        when: {type: profile.updated}
        look_up:
          first:
            api.person: {id: 1}
          second:
            api.person: {id: "{{ NAME.id }}"}
        then:
          - crm.add_note: {email: "{{ second.email }}", text: x}
    """
    assert writing.checked(text.replace("NAME", "first")).errors == ()
    assert [problem.code for problem in writing.checked(text.replace("NAME", "third")).errors] == ["unknown_field"]


@pytest.mark.parametrize("name", ["data", "vars", "result", "type", "api", "none", "two words"])
def test_look_up_name(name: str) -> None:
    """A look-up cannot take a name that means something else."""
    text = RULE.replace("person:\n", f"{name}:\n", 1).format(
        when="{type: profile.updated}", look_up="api.person: {id: 1}"
    )
    assert "bad_name" in [problem.code for problem in writing.checked(text).errors]


CONSENT = """
rules:
  - name: a
    when: {type: newsletter.signup}
    then:
      - maileon_main.subscribe:
          email: x@example.org
          consent: CONSENT
"""


@pytest.mark.parametrize(
    ("consent", "found"),
    [
        ("{newsletter: data.single_user_tracking}", []),
        ("{newsletter: {given: they ticked the box}}", []),
        ("{newsletter: {given: they ticked the box}, tracking: false}", []),
        ("{newsletter: false}", ["no_consent"]),
        ("{newsletter: true}", ["no_consent"]),
        ("{newsletter: {given: ''}}", ["wrong_type"]),
        ("{newsletter: {given: ok}}", ["no_consent"]),
        ("{newsletter: {}}", ["no_consent"]),
        ("{newsletter: {because: they ticked the box}}", ["unknown_key"]),
        ("{newsletter: '{{ data.single_user_tracking }}'}", ["wrong_type"]),
        ("{newsletter: data.wanted}", ["unknown_field"]),
        ("{newsletters: data.single_user_tracking}", ["no_consent", "unknown_key"]),
        ("{tracking: data.single_user_tracking}", ["no_consent"]),
        ("null", ["no_consent"]),
        ("yes", ["wrong_shape"]),
    ],
)
def test_consent(consent: str, found: list[str]) -> None:
    """A rule says where consent comes from, a path that must be true or the reason in words, or does not compile."""
    problems = writing.checked(CONSENT.replace("CONSENT", consent)).errors
    assert sorted(problem.code for problem in problems) == sorted(found)


GROUP = """
rules:
  - group: unsubscribed
    description: Who goes is let go.
    when:
      source: at
      type: [contact.unsubscribed, contact.changed]
      data.reason: {prefix: m}
    rules:
      - name: noted
        when:
          type: contact.unsubscribed
          data.last_name: Muster
        then:
          - crm.add_note:
              email: "{{ data.email }}"
              text: Gone.
      - name: dropped
        description: Nothing to do.
        then: nothing
  - name: alone
    when:
      type: contact.unsubscribed
    then: nothing
"""


def test_group() -> None:
    """The rules of a group ask for its condition and their own, and have its description where they have none."""
    book = writing.book(GROUP)
    assert [(rule.name, rule.description) for rule in book.rules] == [
        ("noted", "Who goes is let go."),
        ("dropped", "Nothing to do."),
        ("alone", ""),
    ]
    assert [rule.position for rule in book.rules] == [0, 1, 2]
    for data, fired in (
        ({"reason": "moved", "last_name": "Muster"}, ["noted", "dropped", "alone"]),
        ({"reason": "moved", "last_name": "Beispiel"}, ["dropped", "alone"]),
        ({"reason": "test", "last_name": "Muster"}, ["alone"]),
    ):
        event = replace(writing.event(), data={"email": "eva@example.org", **data})
        assert [rule.name for rule in book.match(event).fired] == fired
    changed = writing.event("contact.changed", email="eva@example.org", reason="moved", last_name="Muster")
    assert [rule.name for rule in book.match(changed).fired] == ["dropped"]
    assert book.rules[0].types == frozenset({"contact.unsubscribed"})


def test_nothing() -> None:
    """A rule that asks for nothing fires, so that the event does not count as unmatched."""
    rule = writing.book(GROUP).rules[1]
    assert rule.actions(writing.event(), {}) == ()
    assert list(rule.steps()) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "code", "mend"),
    [
        (
            "type: contact.unsubscribed\n          data",
            "type: call.missed\n          data",
            12,
            "asked_twice",
            "in one of",
        ),
        ("data.last_name: Muster", "data.reason: {prefix: n}", 13, "asked_twice", "in one of the two"),
        ("    when:\n      source: at\n", "    whn:\n      source: at\n", 3, "missing_key", "write when: in it"),
        ("- group: unsubscribed\n    desc", "- group:\n    desc", 3, "missing_key", "give it one"),
        ("      - name: noted", "      - group: inner\n        name: noted", 10, "wrong_shape", "two groups"),
        ("data.reason: {prefix: m}", "data.reasn: m", 8, "unknown_field", 'did you mean "data.reason"?'),
    ],
)
def test_group_wrong(old: str, new: str, line: int, code: str, mend: str) -> None:
    """What is wrong with a group is said at its place, also inside its condition, once."""
    assert old in GROUP
    found = [problem for problem in writing.checked(GROUP.replace(old, new)).problems if problem.code == code]
    assert [(problem.line, mend in problem.mend) for problem in found] == [(line, True)], found


LATE = """
rules:
  - name: late
    when:
      source: sd_nord
      type: booking.created
    look_up:
      booker:
        api.person:
          id: "{{ data.booker.id }}"
        at: delivery
    delay: 2d
    then:
      - crm.upsert_contact:
          external_id: "{{ data.booker.id }}"
          last_name: "{{ booker.last_name }}"
        only_if:
          booker.first_name: Eva
        next:
          - crm.add_note:
              email: "{{ booker.email }}"
              text: Is on file.
"""


def late(*changes: tuple[str, str]) -> list[tuple[str, str, str, str]]:
    """Return what the check says of that rule with these changes."""
    text = LATE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return [(problem.severity, problem.code, problem.text, problem.mend) for problem in checked(text).problems]


def test_look_up_at_delivery() -> None:
    """What names the object comes from the event; all else, conditions and `next` too, may use the look-up."""
    (rule,) = book(LATE).rules
    assert [look_up.name for look_up in rule.late_look_ups] == ["booker"]
    assert rule.first_look_ups == ()
    one = event("booking.created", "sd_nord", booker={"id": "7"})
    (first,) = rule.ask_first(Facts(one, {}))
    assert isinstance(first, Action)
    assert (first.late, dict(first.arguments), first.touched) == (True, {"external_id": "7"}, ["external_id:7"])
    (skipped,) = rule.ask(one, {"booker": {"first_name": "Ada", "last_name": "B"}})
    assert isinstance(skipped, Skipped)
    due = rule.ask_at(one, {"booker": {"first_name": "Eva", "last_name": "B"}}, (0,))
    assert isinstance(due, Action)
    assert (due.late, dict(due.arguments)) == (False, {"external_id": "7", "last_name": "B"})
    assert due.touches == first.touches
    assert rule.ask_at(one, {}, (9,)) is None


def test_what_cannot_wait_for_a_look_up() -> None:
    """A name, `only_once` and a look-up that is asked at once cannot wait for one at delivery."""
    assert late(('data.booker.id }}"\n          last', 'booker.id }}"\n          last')) == [
        (
            "error",
            "looked_up_late",
            "this names what is written, and what waits for it, and booker is looked up at delivery",
            "fill it from the event, or look it up at: event",
        )
    ]
    assert [code for _, code, *_ in late(("    delay: 2d", "    only_once: {per: booker.email, within: 1d}"))] == [
        "looked_up_late"
    ]
    second = '        at: delivery\n      other:\n        api.person:\n          id: "{{ booker.id }}"\n'
    assert late(("        at: delivery\n", second + "        at: event\n")) == [
        (
            "error",
            "looked_up_late",
            "other is looked up when the event comes, and booker is looked up at delivery",
            "write at: delivery below it, too",
        )
    ]
    assert late(("        at: delivery\n", second + "        at: delivery\n")) == []


def test_what_happens_first() -> None:
    """Where a rule waits and looks something up, it says when; the check doubts it where nothing does."""
    assert late(("        at: delivery\n", "        at: event\n")) == []
    assert late(("        at: delivery\n", "")) == [
        (
            "warning",
            "looked_up_early",
            "booker is looked up when the event comes, before its actions wait",
            "write at: delivery below it to look when they are due, or at: event if that is meant",
        )
    ]
    assert late(("        at: delivery\n", ""), ("    delay: 2d\n", "")) == []
    (wrong,) = late(("at: delivery", "at: night"))
    assert wrong[2] == "a look-up is asked at: event or at: delivery"


SPELT = """
rules:
  - name: a
    when: {source: shop, type: TYPE}
    not_older_than: TYPE
    then: nothing
tests:
  - name: t
    given: {source: shop, event: {type: TYPE, data: {}}}
    expect: nothing
"""


@pytest.mark.parametrize(
    ("written", "mend"),
    [
        ("Order/Paid", "write order.paid"),
        ("orderPaid", "write order_paid"),
        ("order:paid", "write order.paid"),
        ("order-paid", "write order_paid"),
        ('"order.*"', 'write {wildcard: "order.*"}'),
        ("Rechnung gelöscht", "say under types: of the source what it is"),
    ],
)
def test_types_as_platforms_write_them(written: str, mend: str) -> None:
    """A type that no event can have, since all are spelt in one way, is an error: such a rule would never fire."""
    found = checked(SPELT.replace("TYPE", written)).errors
    assert {(each.line, each.code, each.mend) for each in found} == {(line, "unknown_type", mend) for line in (4, 5, 9)}


def test_types_as_we_write_them() -> None:
    """A type of a generic source is its own business as long as an event can have it."""
    assert checked(SPELT.replace("TYPE", "order.paid_2")).errors == ()
