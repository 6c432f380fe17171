"""However an address is spelled, it is one person: from the request to what stands at the destinations."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from console import catalogue
from receiver import payload
from rules.action import Action
from rules.catalogue import Name
from rules.compiler import compilation
from rules.errors import ValueFailed
from rules.rulebook import Rulebook
from sandbox.server import Running
from tests.workers.destinations.conftest import Desk
from tests.workers.wire import RawServer, reply

BOOK = """
country: DE
sources:
  at: {kind: activetrail, verify: {none: it is a test}}
  cmx: {kind: cmxorganize, verify: {none: it is a test}}
  shop: {kind: generic, verify: {none: it is a test}, read: {type: order.paid, order_key: body.customer.email}}
  wien: {kind: activetrail, country: AT, verify: {none: it is a test}}
  sd: {kind: seminardesk, verify: {none: it is a test}}
destinations:
  crm: {kind: rest, base: "https://crm.example.org", auth: {bearer: "${TOKEN}"}}
  maileon: {kind: maileon, api_key: "${KEY}"}
rules:
  - name: contacts
    when: {type: [contact.changed, newsletter.signup]}
    then:
      - crm.upsert_contact:
          email: "{{ data.email }}"
          phone: "{{ data.sms | phone | omit }}"
      - maileon.subscribe:
          email: "{{ data.email }}"
          consent: {newsletter: {given: it is a test that writes to nobody}}
  - name: orders
    when: {source: shop, type: order.paid}
    only_once: {per: data.customer.email, within: 1d}
    then:
      - crm.upsert_contact: {email: "{{ data.customer.email }}"}
      - maileon.subscribe:
          email: "{{ data.customer.email }}"
          consent: {newsletter: {given: it is a test that writes to nobody}}
"""
#: One address, as seven programs write it.
SPELLINGS = [
    "eva+kurs@xn--bcher-kva.example",
    " Eva+Kurs@BÜCHER.example ",
    "Eva Muster <EVA+kurs@bu\u0308cher.example>",
    "\u202aeva+kurs@bücher.example.\u202c",
    "e\u200bva+kurs@bücher。example",
    "mailto:eva%2Bkurs@bücher.example?subject=Kurs",
    "<eva+kurs@XN--BCHER-KVA.example>",
]
KEY = "eva+kurs@xn--bcher-kva.example"


@dataclass
class Routed:
    """What became of one request."""

    order_key: str | None
    identities: tuple[str, ...]
    actions: Sequence[Action]


@pytest.fixture(scope="module")
def book() -> Rulebook:
    """Two platforms, a CRM and a Maileon."""
    checked = compilation.compile_book({"book.yaml": BOOK.encode()}, catalogue.build())
    assert checked.book is not None, checked.problems
    return checked.book


def routed(book: Rulebook, source: str, body: Any, name: str | None = None) -> Routed:
    """Return what receiver and rules make of a body."""
    [event] = payload.read_payload(book.sources[source], body, name)
    actions = [each for rule in book.match(event).fired for each in rule.actions(event, {})]
    assert all(isinstance(each, Action) for each in actions)
    return Routed(event.order_key, event.identities, [each for each in actions if isinstance(each, Action)])


def by_each_way(book: Rulebook) -> list[Routed]:
    """Return what becomes of each spelling, by each platform."""
    return [
        found
        for spelling in SPELLINGS
        for found in (
            routed(book, "at", {"email": spelling}, "contact_changed"),
            routed(book, "cmx", {"E-Mailadresse": spelling}),
            routed(book, "shop", {"customer": {"email": spelling}}),
        )
    ]


def test_one_order_key_and_one_argument(book: Rulebook) -> None:
    """Seven spellings through three platforms are one order key, one identity, one object and one value."""
    found = by_each_way(book)
    assert len(found) == 21
    assert {each.order_key for each in found} == {f"email:{KEY}"}
    assert {each.identities for each in found} == {(f"email:{KEY}",)}
    actions = [action for each in found for action in each.actions]
    assert len(actions) == 42
    assert {action.touches for action in actions} == {(Name("email", KEY),)}
    assert {action.arguments["email"] for action in actions} == {KEY}
    once = {action.options.only_once.key for action in actions if action.options.only_once}
    assert {key.rpartition("/")[2] for key in once} == {KEY}


def test_one_contact(book: Rulebook, sandbox: Running) -> None:
    """The CRM and Maileon end with one contact each, although nothing was remembered and each delivery searched."""
    accounts = sandbox.world.accounts
    for at, each in enumerate(by_each_way(book)):
        crm, maileon = each.actions
        rest = Desk("rest", {"base": sandbox.base("crm"), "auth": {"bearer": accounts.crm_token}})
        rest.deliver(crm.name, crm.arguments, id=f"c{at}")
        letters = Desk("maileon", {"base": sandbox.base("maileon"), "api_key": accounts.maileon_api_key})
        letters.deliver(maileon.name, maileon.arguments, id=f"m{at}")
    assert [contact["email"] for contact in sandbox.world.crm.contacts.all()] == [KEY]
    assert [contact["email"] for contact in sandbox.world.maileon.holds()["contacts"]] == [KEY]


@pytest.mark.parametrize(
    "unseen",
    [
        "\u200beva@example.org",
        "eva\u200b@example.org",
        "\ufeffeva@example.org",
        "eva@example.org\u200f",
        "eva@example.org\u2060",
        "eva\u00ad@example.org",
    ],
)
def test_d1a_signs_that_nobody_sees(book: Rulebook, sandbox: Running, unseen: str) -> None:
    """D1a: an address with a sign in it that nobody sees is the same contact, and gets no second opt-in mail."""
    accounts = sandbox.world.accounts
    rest = Desk("rest", {"base": sandbox.base("crm"), "auth": {"bearer": accounts.crm_token}})
    letters = Desk("maileon", {"base": sandbox.base("maileon"), "api_key": accounts.maileon_api_key})
    for at, email in enumerate(("eva@example.org", unseen)):
        for desk, action in zip(
            (rest, letters), routed(book, "at", {"email": email}, "contact_changed").actions, strict=True
        ):
            desk.deliver(action.name, action.arguments, id=f"{at}")
    assert [contact["email"] for contact in sandbox.world.crm.contacts.all()] == ["eva@example.org"]
    assert [contact["email"] for contact in sandbox.world.maileon.holds()["contacts"]] == ["eva@example.org"]
    assert len(sandbox.world.maileon.mailbox) == 1


@pytest.mark.parametrize(
    ("theirs", "created"),
    [
        ({"email": "Eva+Kurs@BÜCHER.example"}, False),
        ({"email": "Eva Muster <eva+kurs@bücher.example>"}, False),
        ({"email": "eva@bücher.example"}, True),
        ({"email": "unknown"}, True),
    ],
)
def test_their_address(theirs: dict[str, str], created: bool) -> None:
    """A contact whose address the CRM shows in another spelling is that contact; one of another address is not."""
    with RawServer(shown(theirs), reply(200, '{"id": "7"}')) as server:
        desk = Desk("rest", {"base": server.url, "auth": {"bearer": "t"}})
        found = desk.deliver("upsert_contact", {"email": KEY, "first_name": "Eva"})
        assert found.result == {"id": "7", "created": created}
        assert [each.method for each in server.requests] == ["GET", "POST" if created else "PATCH"]


@pytest.mark.parametrize(
    ("theirs", "ours", "known"),
    [
        ("+49 (0)30 123456", "+4930123456", True),
        ("tel:+49-30-123456", "+4930123456", True),
        ("030 123456", "030 123456", True),
        ("+49 30 123456 ext. 3", "+4930123456", False),
        ("030 123456", "+4930123456", False),
    ],
)
def test_their_number(theirs: str, ours: str, known: bool) -> None:
    """A number that the CRM shows in another spelling is that number, where both have their country."""
    answers = (shown({"phone": theirs}), *([] if known else [reply(200, '{"id": "7"}')]), reply(200, '{"id": "n1"}'))
    with RawServer(*answers) as server:
        desk = Desk("rest", {"base": server.url, "auth": {"bearer": "t"}})
        desk.deliver("add_note", {"phone": ours, "text": "called"})
        assert len(server.requests) == len(answers)


def shown(fields: dict[str, str]) -> bytes:
    """Return what a CRM answers to a search that finds one contact."""
    return reply(200, json.dumps({"data": [{"id": "7", **fields}]}))


def test_form(book: Rulebook) -> None:
    """A form whose `+` nobody encoded is the same person, too."""
    form = "email=eva+kurs@bücher.example&firstname=Eva+Maria".encode()
    found = routed(book, "at", form, "contact_changed")
    assert found.order_key == f"email:{KEY}"
    assert {action.arguments["email"] for action in found.actions} == {KEY}


@pytest.mark.parametrize("address", ["eva+web@bücher.example", "e.va+kurs@bücher.example", "eva+kurs@buecher.example"])
def test_another_person(book: Rulebook, address: str) -> None:
    """What may be another person stays another."""
    found = routed(book, "at", {"email": address}, "contact_changed")
    assert found.order_key != f"email:{KEY}"
    assert KEY not in {action.arguments["email"] for action in found.actions}


def test_data_keeps_the_case(book: Rulebook) -> None:
    """Rules see the address cleaned, in the case in which it came; `raw` is what the vendor sent."""
    [event] = payload.read_payload(book.sources["at"], {"email": SPELLINGS[2]}, "contact_changed")
    assert event.data["email"] == "EVA+kurs@xn--bcher-kva.example"
    assert event.raw == {"email": SPELLINGS[2]}
    assert json.loads(event.body) == event.raw


def test_names_are_untouched(book: Rulebook) -> None:
    """Names and texts of people are as they came, but for U+0000, which is taken out."""
    name = "Ju\u0308rgen\u200d \u0000Mu\u00adller"
    [event] = payload.read_payload(
        book.sources["at"], {"id": 1, "first_name": name, "x": [{"y": "\u0000"}]}, "contact_changed"
    )
    assert event.data["first_name"] == name.replace("\0", "")
    assert event.data["x"] == [{"y": ""}]
    assert event.raw["first_name"] == name.replace("\0", "")  # mended when it was received, and said so
    assert event.unread == ("(characters)",)


def test_refused_in_an_argument(book: Rulebook) -> None:
    """What is no address fails the action with the argument's name and the reason, not the value."""
    [event] = payload.read_payload(book.sources["shop"], {"customer": {"email": "eva at home"}}, None)
    assert event.order_key == "id:eva at home"
    [rule] = book.match(event).fired
    with pytest.raises(ValueFailed) as caught:
        rule.actions(event, {})
    assert (caught.value.path, caught.value.why) == ("email", "the e-mail address has no @")
    assert "home" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "sms", "expected"),
    [
        ("at", "030 / 123456", "+4930123456"),
        ("wien", "0316 123456", "+43316123456"),
        ("wien", "+49 (0)30 123456", "+4930123456"),
        ("at", "\u202a0049 30 123456\u202c", "+4930123456"),
        ("at", "030 123456 ext. 7", "+4930123456;ext=7"),
        ("at", "in the evening", None),
    ],
)
def test_telephone(book: Rulebook, source: str, sms: str, expected: str | None) -> None:
    """A number is read in the country of its source, else of the book; identity and argument are one key."""
    found = routed(book, source, {"email": "eva@example.org", "sms": sms}, "contact_changed")
    assert found.identities == ("email:eva@example.org", *([f"phone:{expected}"] if expected else []))
    assert found.actions[0].arguments.get("phone") == expected
