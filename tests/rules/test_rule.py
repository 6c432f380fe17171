import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from rules.action import Action, OnlyOnce, Skipped
from rules.catalogue import MOST_NAMES, ActionKind, Name
from rules.errors import ValueFailed
from rules.event import Event, decode
from rules.rule import Facts, find_names
from tests.rules import writing
from tests.rules.writing import event

BOOKING = """
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
          first_name: "{{ booker.first_name | omit }}"
      - invoicing.create_invoice:
          reference: "SD-{{ data.id }}"
          customer:
            email: "{{ booker.email }}"
          lines: []
        next:
          - api.add_external_reference:
              invoice: "{{ data.id }}"
              external_id: "{{ result.id }}"
            next:
              - crm.add_note:
                  email: "{{ booker.email }}"
                  text: Written back.
"""

SIGN_UP = """
rules:
  - name: sign-up
    when:
      type: newsletter.signup
    then:
      - maileon_main.subscribe:
          email: "{{ data.email }}"
          consent:
            newsletter: NEWSLETTER
            tracking: data.single_user_tracking
"""


def booked(source: str = "sd_nord") -> tuple[Event, dict[str, object]]:
    about = event("booking.created", source, id=9001, booker={"id": 4711})
    return about, {"booker": {"id": 4711, "email": "ada@example.org"}}


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_record(one: str, other: str) -> None:
    """The record of an event is one line of JSON and the body, whatever its texts are, and is read as that event."""
    made = Event(
        "e1",
        one or "at",
        "generic",
        other or "x",
        "2026-11-30T08:00:00.000Z",
        b'{"a":\n1}',
        order_key=one,
        subject=other,
        time=one,
        sender_id=other,
        position=3,
        traceparent="00-1",
        names=(),
        retain=5,
        unread=(one, other),
        types={"total": "number"},
    )
    record = made.encode(("h1", "h2"), ("h3",), ("o=s",))
    head, _, body = record.partition(b"\n")
    assert (list(json.loads(head))[:3], body) == (["tells", "unread", "source"], made.body)
    read = decode("e1", record, lambda kind, type, body: {})
    for name in ("source", "type", "received_at", "position", "traceparent", "retain", "unread", "types"):
        assert getattr(read, name) == getattr(made, name)
    assert (read.order_key, read.subject) == (one or None, other or None)
    assert (read.time, read.sender_id) == (one or None, other or None)
    assert read.who == ("h3", "h1", "h2")


def test_look_up() -> None:
    """A look-up asks the API of the event's source, with arguments from the event."""
    (rule,) = writing.book(BOOKING).rules
    (look_up,) = rule.look_ups
    for source, api in (("sd_nord", "sd_nord_api"), ("sd_sued", "sd_sued_api")):
        asked = look_up.request(booked(source)[0], {})
        assert (asked.destination, asked.name, asked.arguments) == (api, "person", {"id": 4711})
        assert look_up.destination_for(booked(source)[0]) == api


def test_actions() -> None:
    """Actions carry validated arguments, the names of what they touch, what makes them one effect, and their place."""
    (rule,) = writing.book(BOOKING).rules
    contact, invoice = rule.actions(*booked())
    assert isinstance(contact, Action)
    assert isinstance(invoice, Action)
    assert contact.arguments == {"email": "ada@example.org"}
    assert (contact.touched, contact.once_by, contact.path, contact.has_next) == (
        ["email:ada@example.org"],
        "email:ada@example.org",
        (0,),
        False,
    )
    assert (invoice.destination, invoice.name, invoice.rule) == ("invoicing", "create_invoice", "booked")
    assert invoice.touches == (Name("invoice", "SD-9001"), Name("email", "ada@example.org"))
    assert (invoice.once_by, invoice.path, invoice.has_next) == ("invoice:SD-9001", (1,), True)


def test_next_actions() -> None:
    """What stands under `next:` sees the result of the action before, and may nest."""
    (rule,) = writing.book(BOOKING).rules
    (reference,) = rule.next_actions(*booked("sd_sued"), (1,), {"id": "77"})
    assert isinstance(reference, Action)
    assert reference.destination == "sd_sued_api"
    assert reference.arguments == {"invoice": 9001, "external_id": "77"}
    assert (reference.path, reference.has_next) == ((1, 0), True)
    (note,) = rule.next_actions(*booked(), (1, 0), {})
    assert (note.name, note.path) == ("add_note", (1, 0, 0))
    assert rule.next_actions(*booked(), (0,), {}) == ()
    assert rule.next_actions(*booked(), (7, 7), {}) == ()


@pytest.mark.parametrize("name", ["event", "self", "constants", "beside"])
def test_look_up_of_any_name(name: str) -> None:
    """A look-up may have any name that means nothing else."""
    (rule,) = writing.book(BOOKING.replace("booker:\n", f"{name}:\n", 1).replace("{{ booker.", f"{{{{ {name}.")).rules
    about, results = booked()
    contact, _ = rule.actions(about, {name: results["booker"]})
    assert isinstance(contact, Action)
    assert contact.arguments["email"] == "ada@example.org"


def test_value_failed() -> None:
    """A value that cannot be made names rule, action and path, and no value of the event."""
    (rule,) = writing.book(BOOKING).rules
    about, _ = booked()
    with pytest.raises(ValueFailed) as caught:
        rule.actions(about, {"booker": {"id": 4711, "last_name": "Geheim"}})
    assert (caught.value.rule, caught.value.action) == ("booked", "crm.upsert_contact")
    assert "booker.email" in str(caught.value)
    assert "Geheim" not in str(caught.value)


def test_arguments_refused() -> None:
    """Arguments that the action's model refuses are a failed value that shows none."""
    (rule,) = writing.book(BOOKING).rules
    about = event("booking.created", "sd_nord", id=9001, booker={"id": "Geheim"})
    with pytest.raises(ValueFailed) as caught:
        rule.look_ups[0].request(about, {})
    assert caught.value.path == "id"
    assert "Geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("newsletter", "data", "consent"),
    [
        ("{given: they ticked the box}", {"single_user_tracking": True}, {"newsletter": True, "tracking": True}),
        ("{given: they ticked the box}", {"single_user_tracking": False}, {"newsletter": True, "tracking": False}),
        ("{given: they ticked the box}", {"single_user_tracking": None}, {"newsletter": True, "tracking": False}),
        ("{given: they ticked the box}", {"single_user_tracking": "true"}, {"newsletter": True, "tracking": False}),
        ("{given: they ticked the box}", {}, {"newsletter": True, "tracking": False}),
        ("data.single_user_tracking", {"single_user_tracking": True}, {"newsletter": True, "tracking": True}),
    ],
)
def test_consent(newsletter: str, data: dict[str, Any], consent: dict[str, bool]) -> None:
    """Tracking that is not given, absent or null goes on without; only true is true."""
    (rule,) = writing.book(SIGN_UP.replace("NEWSLETTER", newsletter)).rules
    (action,) = rule.actions(event("newsletter.signup", "cmx", email="eva@example.org", **data), {})
    assert isinstance(action, Action)
    assert action.arguments["consent"] == consent


@pytest.mark.parametrize("data", [{}, {"single_user_tracking": False}, {"single_user_tracking": None}])
def test_no_consent(data: dict[str, Any]) -> None:
    """Without newsletter consent the action is skipped, with the reason."""
    (rule,) = writing.book(SIGN_UP.replace("NEWSLETTER", "data.single_user_tracking")).rules
    (skipped,) = rule.actions(event("newsletter.signup", "cmx", email="eva@example.org", **data), {})
    assert isinstance(skipped, Skipped)
    assert (skipped.code, skipped.destination, skipped.name) == ("no_consent", "maileon_main", "subscribe")
    assert skipped.why.startswith("no newsletter consent: ")
    assert "eva" not in skipped.why


OPTIONS = """
rules:
  - name: options
    when:
      type: contact.unsubscribed
    delay: 5m
    coalesce: 10m
    in_order: true
    only_once:
      per: data.email
      within: 30d
    then:
      - maileon_main.unsubscribe:
          email: "{{ data.email }}"
      - maileon_main.update:
          email: "{{ data.email }}"
        only_if:
          data.reason: moved
"""


def test_options() -> None:
    """Options of the rule go with each action; what must never be lost is not coalesced."""
    (rule,) = writing.book(OPTIONS).rules
    leave, update = rule.actions(event(email="eva@example.org", reason="moved"), {})
    assert isinstance(leave, Action)
    assert isinstance(update, Action)
    assert (leave.options.coalesce, update.options.coalesce) == (0, 600_000)
    assert (update.options.delay, update.options.in_order) == (300_000, True)
    assert leave.options.only_once == OnlyOnce("options/0/eva@example.org", 2_592_000_000)
    assert update.options.only_once == OnlyOnce("options/1/eva@example.org", 2_592_000_000)


def test_only_if() -> None:
    """`only_if` that is false or unknown skips its action, not the others."""
    (rule,) = writing.book(OPTIONS).rules
    either: tuple[dict[str, Any], ...] = ({}, {"reason": "bored"})
    for data in either:
        leave, update = rule.actions(event(email="eva@example.org", **data), {})
        assert isinstance(leave, Action)
        assert isinstance(update, Skipped)
        assert update.code == "only_if"


def test_validated_once() -> None:
    """What an action is told once more for an event is not validated again; `1` and `true` are not the same."""
    said = {"a": "1", "b": "true", "c": "true", "d": "1.0"}
    when, then = "{type: contact.changed}", "maileon_main.update: {{email: e@example.org, fields: {{x: {0}}}}}"
    rules = [f"  - {{name: {name}, when: {when}, then: [{then.format(x)}]}}\n" for name, x in said.items()]
    facts = Facts(event("contact.changed"), {})
    asked = [one for rule in writing.book("rules:\n" + "".join(rules)).rules for one in rule.ask_first(facts)]
    a, b, c, d = (one for one in asked if isinstance(one, Action))
    told = [str(each.arguments["fields"]["x"]) for each in (a, b, c, d)]
    assert told == ["1", "True", "True", "1.0"]
    assert (b.model is c.model, b.arguments is c.arguments) == (True, True)
    assert (a.model is b.model, c.model is d.model) == (False, False)
    assert [each.rule for each in (a, b, c, d)] == list(said)


class TouchArguments(BaseModel):
    """Arguments of an action of which a test says what it touches."""


def touching(touches: Callable[[Any], tuple[Name, ...]]) -> ActionKind:
    """Return an action that touches what the test says."""
    return ActionKind("touch", "Touch.", TouchArguments, touches, "what the test says", None, "delivery")


def test_names_of_an_action() -> None:
    """As many names as an action may have are taken as they are; a weak one may repeat a strong one."""
    most = tuple(Name("email", f"{n}@example.org") for n in range(MOST_NAMES))
    assert find_names(touching(lambda arguments: most), TouchArguments()) == most
    both = (Name("phone", "+4930123456"), Name("phone", "+4930123456", weak=True))
    assert find_names(touching(lambda arguments: both), TouchArguments()) == both


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ([], "must begin with a strong name"),
        ([Name("phone", "+4930123456", weak=True), Name("email", "eva@example.org")], "must begin with a strong name"),
        ([Name("email", "eva@example.org")] * 2, "each name once"),
        ([Name("email", f"{n}@example.org") for n in range(MOST_NAMES + 1)], "it touches 9 names, and 8 is the most"),
    ],
)
def test_wrong_names(names: list[Name], why: str) -> None:
    """No name, a weak home, a repeated name or more than eight fail the action, and no value is told."""
    with pytest.raises(ValueFailed, match=why) as caught:
        find_names(touching(lambda arguments: tuple(names)), TouchArguments())
    assert "example.org" not in str(caught.value)


def test_bug_in_touches() -> None:
    """What an action touches and cannot be told fails it, without a value."""
    nobody: dict[str, tuple[Name, ...]] = {}
    with pytest.raises(ValueFailed, match=r"what it touches cannot be told \(KeyError\)") as caught:
        find_names(touching(lambda arguments: nobody["eva@example.org"]), TouchArguments())
    assert "eva" not in str(caught.value)


def test_what_cannot_be_written_fails() -> None:
    """An argument that the destination cannot write fails, also where it comes inside a value that is passed on."""
    text = """
    rules:
      - name: passed on
        when: {source: shop, type: order.paid}
        then:
          - invoicing.create_invoice:
              reference: A-1
              customer: "{{ data.customer }}"
              lines: []
    """
    (rule,) = writing.book(text).rules
    customer = {"email": "ada@example.org", "tax_number": "s3cret"}
    with pytest.raises(ValueFailed, match=r"customer\.tax_number") as failed:
        rule.actions(event("order.paid", "shop", customer=customer), {})
    assert "it keeps no tax numbers" in str(failed.value)
    assert "s3cret" not in str(failed.value)
