import json
import textwrap
from dataclasses import replace

from console import catalogue
from rules.compiler import compilation
from rules.tools import explanation, preview
from tests.rules import writing
from tests.rules.writing import event

RULES = """
rules:
  - name: moved
    when:
      type: contact.unsubscribed
      data.reason: moved
      data.first_name: Eva
    then:
      - crm.add_note:
          email: "{{ data.email }}"
          text: Moved.
  - name: left
    when:
      type: contact.unsubscribed
    unless:
      data.reason: test
    then:
      - crm.set_consent:
          email: "{{ data.email }}"
          newsletter: false
  - name: changed
    when:
      type: contact.changed
    then:
      - crm.add_note:
          email: "{{ data.email }}"
          text: Changed.
  - name: booked
    when:
      type: booking.created
    look_up:
      booker:
        api.person:
          id: "{{ data.booker.id }}"
    then:
      - crm.upsert_contact:
          email: "{{ booker.email }}"
"""


def test_every_rule() -> None:
    """Each rule of the book has its verdict, in the book's order."""
    found = explanation.explain(writing.book(RULES), event(email="eva@example.org", reason="bored"))
    assert [(rule.name, rule.fires) for rule in found.rules] == [
        ("moved", False),
        ("left", True),
        ("changed", False),
        ("booked", False),
    ]


def test_reasons() -> None:
    """A rule that does not fire says at which condition, with the value that was there; the deciding one first."""
    rule = explanation.explain(writing.book(RULES), event(email="eva@example.org", reason="bored")).rules[0]
    first, second = rule.reasons
    assert (first.at, first.actual) == ("data.reason", "bored")
    assert "bored" not in first.why
    assert second.why == "absent at data.first_name"


def test_actions() -> None:
    """A rule that fires shows its filled actions."""
    rule = explanation.explain(writing.book(RULES), event(email="eva@example.org", reason="bored")).rules[1]
    assert rule.as_json()["actions"] == [
        {
            "action": "crm.set_consent",
            "arguments": {"email": "eva@example.org", "newsletter": False},
            "touches": ["email:eva@example.org"],
            "once_by": "email:eva@example.org",
        }
    ]


def test_unless() -> None:
    """`unless` says whether it holds back, and where it is unknown."""
    book = writing.book(RULES)
    held = explanation.explain(book, event(email="eva@example.org", reason="test")).rules[1]
    assert (held.fires, held.reasons[0].at) == (False, "unless")
    unknown = explanation.explain(book, event(email="eva@example.org")).rules[1]
    assert unknown.note == "unless is unknown, so it does not hold back: absent at data.reason"


def test_look_up() -> None:
    """Without the answer of a look-up the question is shown, with it the actions."""
    book = writing.book(RULES)
    about = event("booking.created", "sd_nord", booker={"id": 4711})
    asking = explanation.explain(book, about).rules[3]
    assert (asking.look_ups[0].arguments, asking.actions) == ({"id": 4711}, ())
    assert "booker" in asking.failed
    answered = explanation.explain(book, about, {"booker": {"email": "ada@example.org"}}).rules[3]
    assert answered.failed == ""
    assert answered.actions[0].destination == "crm"


def test_failed_value() -> None:
    """A value that cannot be made is part of the explanation."""
    rule = explanation.explain(writing.book(RULES), event()).rules[1]
    assert "data.email" in rule.failed


def test_as_json() -> None:
    """The whole explanation is plain JSON."""
    found = explanation.explain(writing.book(RULES), event(email="eva@example.org"))
    assert json.loads(json.dumps(found.as_json()))["rules"][0]["rule"] == "moved"


def test_description() -> None:
    """A rule is explained with what it is for, whether it fires or not."""
    book = writing.book(RULES.replace("  - name: moved\n", "  - name: moved\n    description: They ask.\n"))
    for type_ in ("contact.unsubscribed", "contact.changed"):
        told = explanation.explain(book, event(type_, reason="moved", first_name="Eva", email="eva@example.org"))
        assert (told.rules[0].description, told.rules[1].description) == ("They ask.", "")
        assert told.as_json()["rules"][0]["description"] == "They ask."
        assert "description" not in told.as_json()["rules"][1]


def test_observed() -> None:
    """A rule that is only observed is explained like another one, and says so."""
    rules = RULES.replace("  - name: left\n", "  - name: left\n    mode: observe\n")
    rule = explanation.explain(writing.book(rules), event(email="eva@example.org", reason="bored")).rules[1]
    assert (rule.fires, rule.observed, len(rule.actions)) == (True, True, 1)
    assert rule.as_json()["observed"] is True


GUARDED = """
rules:
  - name: changed
    when:
      type: contact.changed
    not_older_than: [contact.unsubscribed, contact.bounced]
    then:
      - crm.add_note:
          email: "{{ data.email }}"
          text: Changed.
"""


def test_stale() -> None:
    """A rule that fires for what is stale says what is newer, and asks for nothing."""
    one = event("contact.changed", email="eva@example.org")
    (rule,) = explanation.explain(
        writing.book(GUARDED), one, newest={"contact.bounced": "2026-01-15T10:05:00.000Z"}
    ).rules
    assert (rule.fires, rule.note) == (True, "")
    assert rule.as_json()["actions"] == [
        {
            "skipped": "crm.add_note",
            "code": "stale",
            "why": "contact.bounced of 2026-01-15T10:05:00.000Z is newer than this, of 2026-01-15T10:00:00.000Z",
        }
    ]


def test_perhaps_stale() -> None:
    """Where it is not known what is newer, it says on what it depends."""
    one = event("contact.changed", email="eva@example.org")
    (rule,) = explanation.explain(
        writing.book(GUARDED), one, newest={"contact.bounced": "2026-01-15T09:00:00.000Z"}
    ).rules
    assert len(rule.actions) == 1
    assert rule.note == ("sent unless contact.unsubscribed of the same person is newer than 2026-01-15T10:00:00.000Z")


def test_held() -> None:
    """A rule that waits says until when, had the event just come; one for which it is open says nothing."""
    hours = "business_hours:\n  days: mon-fri\n  hours: {}\n  zone: Europe/Berlin\n"
    rules = RULES.replace("    unless:", "    hold: until business hours\n    unless:")
    about = event(email="eva@example.org", reason="bored")
    left = explanation.explain(writing.book(hours.format("12:00-18:00") + rules), about).rules[1]
    assert left.held == ("held until 2026-01-15T11:00:00.000Z: business hours (mon-fri 12:00-18:00 Europe/Berlin)")
    assert left.as_json()["held"] == left.held
    left = explanation.explain(writing.book(hours.format("09:00-18:00") + rules), about).rules[1]
    assert left.held == ""
    assert "held" not in left.as_json()


def test_late() -> None:
    """A rule that looks something up at delivery says that it is decided then."""
    late = RULES.replace(
        'id: "{{ data.booker.id }}"\n    then', 'id: "{{ data.booker.id }}"\n        at: delivery\n    then'
    )
    late = late.replace('email: "{{ booker.email }}"', 'external_id: "{{ data.id }}"')
    rule = explanation.explain(writing.book(late), event("booking.created", "sd_nord", id="9", booker={"id": 7})).rules[
        3
    ]
    assert rule.note == "decided when it is due: booker is looked up then"


def test_echo() -> None:
    """A rule that does not fire for what Relais wrote itself says so, where an event may be that."""
    text = """
        sources:
          hook: {kind: activetrail, api: crm, verify: {none: only for this test}}
        destinations:
          crm: {kind: rest, base: "https://crm.example.org"}
        rules:
          - name: passed on
            when: {source: hook}
            then: nothing
          - name: passed on always
            when: {source: hook}
            on_echo: route
            then: nothing
    """
    found = compilation.compile_book({"book.yaml": textwrap.dedent(text).encode()}, catalogue.build()).book
    assert found is not None
    changed = replace(event("contact.changed", email="eva@example.org"), source="hook")
    notes = [rule.note for rule in explanation.explain(found, changed).rules]
    assert notes == [explanation.NOT_AN_ECHO, ""]
    left = replace(changed, type="contact.unsubscribed")
    assert [rule.note for rule in explanation.explain(found, left).rules] == ["", ""]
    assert preview.preview(found, found, [changed, left]).as_json()["echoes"] == ["contact.changed"]
