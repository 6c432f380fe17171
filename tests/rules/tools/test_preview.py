import json
from dataclasses import replace

from rules.event import Event
from rules.tools import preview
from tests.rules import writing
from tests.rules.writing import event

OLD = """
rules:
  - name: left
    when:
      type: contact.unsubscribed
    then:
      - crm.set_consent:
          email: "{{ data.email }}"
          newsletter: false
  - name: note
    when:
      type: contact.unsubscribed
    then:
      - crm.add_note:
          email: "{{ data.email }}"
          text: Left.
"""

EVENTS = [event(email=f"{name}@example.org") for name in "abcde"]


def compare(new: str, old: str = OLD, events: list[Event] = EVENTS) -> preview.Preview:
    return preview.preview(writing.book(old), writing.book(new), events)


def summary(found: preview.Preview) -> list[tuple[str, str, str, int]]:
    return [(each.rule, each.change, each.action, each.count) for each in found.differences]


def test_same() -> None:
    """The same book makes no difference, and neither does a new name for a rule."""
    assert not compare(OLD).differs
    assert compare(OLD).same == 10
    assert not compare(OLD.replace("name: note", "name: a note")).differs


def test_gone() -> None:
    """A rule that is taken out takes its deliveries with it."""
    found = compare(OLD.split("  - name: note")[0])
    assert summary(found) == [("note", "gone", "crm.add_note", 5)]
    assert found.count("gone") == 5
    assert len(found.differences[0].samples) == preview.SAMPLES


def test_added() -> None:
    """A new rule adds its deliveries."""
    found = compare(OLD, old=OLD.split("  - name: note")[0])
    assert summary(found) == [("note", "added", "crm.add_note", 5)]
    assert found.differences[0].samples[0].before is None


def test_changed() -> None:
    """Other arguments change a delivery; the sample shows both."""
    found = compare(OLD.replace("Left.", "Gone."))
    assert summary(found) == [("note", "changed", "crm.add_note", 5)]
    before, after = found.differences[0].samples[0].before, found.differences[0].samples[0].after
    assert before is not None
    assert after is not None
    assert (before.arguments["text"], after.arguments["text"]) == ("Left.", "Gone.")


def test_one_name_more() -> None:
    """A rule of another name that gives the contact one name more writes the same object: it changes, no more."""
    one = OLD.replace("crm.set_consent", "crm.upsert_contact").replace("newsletter: false", "first_name: Eva")
    found = compare(one.replace("first_name:", "external_id:").replace("name: left", "name: gone"), old=one)
    assert summary(found) == [("gone", "changed", "crm.upsert_contact", 5)]
    before, after = found.differences[0].samples[0].before, found.differences[0].samples[0].after
    assert before is not None
    assert after is not None
    assert (before.touched, after.touched) == (["email:a@example.org"], ["external_id:Eva", "email:a@example.org"])


def test_options_change() -> None:
    """An option of the rule is a difference too."""
    assert summary(compare(OLD.replace("  - name: note\n", "  - name: note\n    delay: 5m\n"))) == [
        ("note", "changed", "crm.add_note", 5)
    ]


def test_unmatched() -> None:
    """The events that nobody matches are counted for both books."""
    found = compare("rules: []\n")
    assert (found.unmatched_before, found.unmatched_after) == (0, 5)


LOOKING_UP = """
rules:
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


BOOKED = [event("booking.created", "sd_nord", booker={"id": 4711})]


def test_look_ups() -> None:
    """A look-up whose answer is known is used; where it is not, a changed rule is undecided, which is no "the same"."""
    old, new = writing.book(LOOKING_UP), writing.book(LOOKING_UP.replace("{{ booker.email }}", "x{{ booker.email }}"))
    unknown = preview.preview(old, new, BOOKED)
    assert (unknown.differences, unknown.undecided) == ([], {"booked": {preview.UNKNOWN_ANSWER: 1}})
    assert unknown.differs
    known = preview.preview(old, new, BOOKED, lambda look_up, about, request: {"email": "ada@example.org"})
    assert summary(known) == [("booked", "changed", "crm.upsert_contact", 1)]


def test_unchanged_look_ups() -> None:
    """A rule that asks for the same is the same whatever its look-ups answer, also under another name or pattern."""
    for change in (("name: booked", "name: a booking"), ("booking.created", "[booking.created, booking.deleted]")):
        found = compare(LOOKING_UP.replace(*change), LOOKING_UP, BOOKED)
        assert (found.differs, found.same, found.undecided) == (False, 1, {})
    constants = compare("vars:\n  a: 1\n" + LOOKING_UP, LOOKING_UP, BOOKED)
    assert constants.undecided == {"booked": {preview.UNKNOWN_ANSWER: 1}}


def test_look_up_gone() -> None:
    """A rule with look-ups that is taken out, or does not match any more, takes its deliveries with it."""
    for new in ("rules: []\n", LOOKING_UP.replace("created", "deleted")):
        assert summary(compare(new, LOOKING_UP, BOOKED)) == [("booked", "gone", "crm.upsert_contact", 1)]
        assert summary(compare(LOOKING_UP, new, BOOKED)) == [("booked", "added", "crm.upsert_contact", 1)]


def test_failing() -> None:
    """A rule that can no longer be carried out is a difference, with the reason; one that never could is none."""
    failing = OLD.replace("text: Left.", 'text: "{{ data.reason }}!"')
    found = compare(failing)
    assert summary(found) == [
        ("note", "failing", "", 5),
        ("note", "gone", "crm.add_note", 5),
    ]
    assert "data.reason: absent" in found.differences[0].why
    both = compare(failing, failing)
    assert (both.differs, both.same, list(both.undecided)) == (False, 5, ["note"])


def test_as_json() -> None:
    """The whole preview is plain JSON."""
    found = json.loads(json.dumps(compare(OLD.replace("Left.", "Gone.")).as_json()))
    assert (found["changed"], found["same"], found["events"]) == (5, 5, 5)


def test_observed() -> None:
    """What a book only observes is no delivery; the events of which it is so are counted, and not as unmatched."""
    observed = OLD.replace("  - name: note\n", "  - name: note\n    mode: observe\n")
    found = compare(observed)
    assert summary(found) == [("note", "gone", "crm.add_note", 5)]
    assert (found.observed_before, found.observed_after, found.unmatched_after) == (0, 5, 0)
    assert found.as_json()["observed"] == {"before": 0, "after": 5}


def test_stale() -> None:
    """A guard is judged by the events that are looked at, and the rules that have one are named."""
    guarded = """
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
    left = replace(event(email="eva@example.org"), time="2026-01-15T10:05:00.000Z")
    old, new = (
        replace(event("contact.changed", email="eva@example.org"), time=f"2026-01-15T10:{minute}:00.000Z")
        for minute in ("00", "10")
    )
    found = preview.preview(
        writing.book(guarded.replace("    not_older_than: contact.unsubscribed\n", "")),
        writing.book(guarded),
        [old, left, old, new],
    )
    assert summary(found) == [("changed", "gone", "crm.add_note", 1)]
    assert (found.same, found.guarded) == (2, {"changed"})
    assert found.as_json()["guarded"] == ["changed"]
