"""What every destination keeps, whichever system it speaks to. A new kind is one entry in EXAMPLES."""

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic_core import to_json

from rules.catalogue import ActionKind
from tests.workers.destinations.conftest import Desk
from tests.workers.wire import CLOSE, HANG, RESET, RawServer, reply
from workers.destinations import DESTINATIONS
from workers.destinations.base import Attempt
from workers.destinations.contacts import CRM_ACTIONS
from workers.destinations.invoices import INVOICING_ACTIONS
from workers.outcome import Done, Failed

KINDS = {name: each.kind for name, each in DESTINATIONS.items()}
KEY = "s3cret-key-of-the-destination"
EMAIL = {"email": "eva@example.org"}
CUSTOMER = {"customer": EMAIL}
LINES = {"lines": [{"text": "Seminar", "unit_price": 1}]}

#: Kind -> options beside base, and arguments for each action.
EXAMPLES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]] = {
    "maileon": (
        {"api_key": KEY},
        {
            "subscribe": EMAIL | {"consent": {"newsletter": True}},
            "update": EMAIL | {"fields": {"CITY": "Ulm"}},
            "unsubscribe": EMAIL,
            "resend_opt_in": EMAIL | {"consent": {"newsletter": True}},
            "send_transaction": EMAIL | {"type": "booked", "content": {"id": 7}},
        },
    ),
    "rest": (
        {"auth": {"bearer": KEY}},
        {
            "upsert_contact": EMAIL | {"first_name": "Eva"},
            "set_consent": EMAIL | {"newsletter": False},
            "add_note": EMAIL | {"text": "Please call back."},
            "create_invoice": {"reference": "SD-1"} | CUSTOMER | LINES,
            "cancel_invoice": {"reference": "SD-1"} | CUSTOMER,
            "add_label": EMAIL | {"label": "Kurs"},
            "remove_label": EMAIL | {"label": "Kurs"},
            "create_lead": EMAIL | {"reference": "call-1", "title": "Missed call"},
            "move_deal": {"reference": "call-1", "stage": "won"},
            "add_task": EMAIL | {"subject": "Call back"},
            "contact": EMAIL,
            "upsert_customer": EMAIL | {"name": "Eva Muster"},
            "create_credit_note": {"reference": "G-1", "invoice": "SD-1"} | CUSTOMER,
            "record_payment": {"reference": "P-1", "invoice": "SD-1", "amount": 5},
            "invoice_status": {"reference": "SD-1"},
        },
    ),
    "tryton": (
        {"database": "shop", "key": KEY},
        {
            "upsert_contact": EMAIL | {"first_name": "Eva"},
            "add_note": EMAIL | {"text": "Please call back."},
            "create_invoice": {"reference": "SD-1"} | CUSTOMER | LINES,
            "cancel_invoice": {"reference": "SD-1"} | CUSTOMER,
            "add_label": EMAIL | {"label": "Kurs"},
            "remove_label": EMAIL | {"label": "Kurs"},
            "contact": EMAIL,
            "upsert_customer": EMAIL | {"name": "Eva Muster"},
            "create_credit_note": {"reference": "G-1", "invoice": "SD-1"} | CUSTOMER,
            "invoice_status": {"reference": "SD-1"},
        },
    ),
    "hubspot": (
        {"access_token": KEY, "reference_property": "booking_reference"},
        {
            "upsert_contact": EMAIL | {"first_name": "Eva"},
            "add_note": EMAIL | {"text": "Please call back."},
            "add_task": EMAIL | {"subject": "Call back"},
            "create_lead": EMAIL | {"reference": "call-1", "title": "Call"},
            "move_deal": {"reference": "call-1", "stage": "Angebot"},
            "link": EMAIL | {"company": "Muster GmbH"},
            "contact": EMAIL,
        },
    ),
    "lexware": (
        {"api_key": KEY},
        {
            "upsert_customer": EMAIL | {"name": "Eva Muster"},
            "create_invoice": {"reference": "SD-1"} | CUSTOMER | LINES,
            "cancel_invoice": {"reference": "SD-1"} | CUSTOMER,
            "create_credit_note": {"reference": "G-1", "invoice": "SD-1"} | CUSTOMER,
            "invoice_status": {"reference": "SD-1"},
        },
    ),
    "pipedrive": (
        {"api_token": KEY, "reference_field": "b" * 40},
        {
            "upsert_contact": EMAIL | {"first_name": "Eva"},
            "set_consent": EMAIL | {"newsletter": False},
            "add_note": EMAIL | {"text": "Please call back."},
            "add_label": EMAIL | {"label": "Kunde"},
            "remove_label": EMAIL | {"label": "Kunde"},
            "create_lead": EMAIL | {"reference": "call-1", "title": "Call"},
            "move_deal": {"reference": "call-1", "stage": "Angebot"},
            "add_task": EMAIL | {"subject": "Call back"},
            "link": EMAIL | {"company": "Muster GmbH"},
            "contact": EMAIL,
        },
    ),
    "seminardesk": (
        {"api_key": KEY, "system": 2},
        {
            "person": {"id": 1},
            "profile": {"id": 1},
            "organisation": {"id": 1},
            "booking": {"id": 1},
            "guests": {"id": 1},
            "event": {"id": 1},
            "date": {"id": 1},
            "invoice": {"id": 1},
            "set_booking_status": {"booking": 1, "status": "confirmed"},
            "add_payment": {
                "invoice": 1,
                "reference": "pi_1",
                "amount": 5,
                "method": "CARD",
                "paid_on": "2026-11-28",
            },
            "add_activity": {"profile": 1, "activity_type": 3, "title": "Call", "begin": "2026-11-28T10:00:00Z"},
            "set_additional_field": {"profile": 1, "field": 3, "value": "VIP"},
            "add_external_reference": {"invoice": 1, "external_id": "x"},
        },
    ),
    "activetrail": (
        {"api_key": KEY},
        {
            "upsert_contact": EMAIL | {"first_name": "Eva"},
            "add_to_group": EMAIL | {"group": "Buyers"},
            "remove_from_group": EMAIL | {"group": "Buyers"},
            "subscribe": EMAIL | {"consent": {"newsletter": True}},
            "unsubscribe": EMAIL,
        },
    ),
    "etracker": (
        {"account_key": "acc-1", "api_key": KEY, "token": KEY},
        {
            "confirm_lead": {"order": "A-1"},
            "confirm_sale": {"order": "A-1", "amount": "99.50"},
            "cancel_sale": {"order": "A-1"},
            "set_amount": {"order": "A-1", "amount": 40},
        },
    ),
    "mail": (
        {"host": "mail.example.org", "sender": "relais@example.org", "user": "relais", "password": KEY},
        {"send": {"to": "eva@example.org", "subject": "Welcome", "body": "Dear Eva"}},
    ),
    "webhook": (
        {"secret": "whsec_c2VjcmV0LW9mLWEtdGVzdA==", "headers": {"Authorization": f"Bearer {KEY}"}},
        {"send": {"key": "eva@example.org", "type": "contact.changed", "data": EMAIL}},
    ),
}

#: Kind -> what its id map knows, where nothing else finds what an action is about.
KNOWN: Mapping[str, Mapping[str, str]] = {"lexware": {"invoice:SD-1": "i1"}}

ACTIONS = [(kind, action) for kind in sorted(KINDS) for action in KINDS[kind].actions]
every_action = pytest.mark.parametrize(("kind", "action"), ACTIONS)
#: What speaks HTTP; the others have tests of their own for broken connections, refusals and secrets.
HTTP_ACTIONS = [(kind, action) for kind, action in ACTIONS if kind != "mail"]
every_http_action = pytest.mark.parametrize(("kind", "action"), HTTP_ACTIONS)


def make(server: RawServer, kind: str) -> Desk:
    """Return the destination, pointed at a server."""
    desk = Desk(kind, {"base": server.url} | dict(EXAMPLES[kind][0]))
    desk.memory.values |= KNOWN.get(kind, {})
    return desk


def arguments(kind: str, action: str) -> Mapping[str, Any]:
    """Return the example of an action."""
    return EXAMPLES[kind][1][action]


def test_registry() -> None:
    """Every kind has an example here, and actions under their own names."""
    assert set(KINDS) == set(EXAMPLES)
    for name, kind in KINDS.items():
        assert kind.name == name
        assert set(kind.actions) == set(EXAMPLES[name][1])
        assert all(action.name == word for word, action in kind.actions.items())


@every_action
def test_action_is_documented(kind: str, action: str) -> None:
    """Each action and each of its arguments' models says what it is."""
    known: ActionKind = KINDS[kind].actions[action]
    assert known.about.endswith(".")
    assert known.touches_about
    assert known.once_by_about
    assert known.arguments.__doc__


@every_action
def test_doubt_is_declared(kind: str, action: str) -> None:
    """Each action says what becomes of a delivery whose answer was lost; a look-up has no such doubt."""
    known = KINDS[kind].actions[action]
    assert (known.on_doubt is None) is known.look_up


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_a_kind_cannot_do_is_said(kind: str) -> None:
    """Who takes one of the shared actions says of each other one of that trade why not; the reason is a sentence."""
    known = KINDS[kind]
    for trade in (CRM_ACTIONS, INVOICING_ACTIONS):
        names = {action.name for action in trade}
        if names & known.actions.keys():
            assert names <= known.actions.keys() | known.cannot.keys()
    assert not known.actions.keys() & known.cannot.keys()
    assert all(len(why.split()) > 3 and not why.endswith(".") for why in known.cannot.values())


@every_action
def test_refused_arguments_exist(kind: str, action: str) -> None:
    """What a driver says that it cannot write is an argument of its action."""
    known = KINDS[kind].actions[action]
    for path, why in known.refuses.items():
        schema = known.arguments.model_json_schema()
        here = schema
        for name in path.split("."):
            if here.get("additionalProperties"):
                break  # names of the vendor's own
            text = json.dumps(here["properties"][name])
            referred = re.search(r'"#/\$defs/(\w+)"', text)
            here = schema["$defs"][referred.group(1)] if referred else here["properties"][name]
        assert len(why.split()) > 3


@every_action
def test_keys(kind: str, action: str) -> None:
    """What an action touches, and what makes it one effect, are the same whenever its arguments are."""
    known = KINDS[kind].actions[action]
    first, second = (known.arguments.model_validate(arguments(kind, action)) for _ in range(2))
    assert known.touches(first) == known.touches(second) != ()
    if known.once_by is not None:
        assert known.once_by(first) == known.once_by(second) != ""


@every_action
def test_arguments_survive_the_store(kind: str, action: str) -> None:
    """What is delivered at once and what is read from the store again are one and the same."""
    model = KINDS[kind].actions[action].arguments
    made = model.model_validate(arguments(kind, action))
    assert model.model_validate(json.loads(to_json(made.model_dump(mode="json", exclude_unset=True)))) == made


@every_http_action
@pytest.mark.parametrize(
    ("status", "failure", "wait"),
    [(401, "credential", 0), (429, "limited", 7), (400, "permanent", 0), (503, "transient", 7)],
)
def test_refusals(kind: str, action: str, status: int, failure: str, wait: float) -> None:
    """401 pauses the destination, 429 waits as told, 400 is final, 503 is an outage, at the first request already."""
    with RawServer(reply(status, "<html>no</html>", "text/html", Retry_After="7")) as server:
        failed = make(server, kind).fail(action, arguments(kind, action))
    assert (failed.failure, failed.wait, failed.status) == (failure, wait, status)
    assert len(server.requests) == 1


#: Status -> what it may be, whatever the kind. 404 is an object that is not there, of which some actions make nothing.
MEANINGS: Mapping[int, set[str]] = {
    403: {"credential", "limited", "permanent"},
    404: {"permanent", "done"},
    409: {"permanent"},
    422: {"permanent"},
    429: {"limited"},
    502: {"transient", "ambiguous"},
    504: {"transient", "ambiguous"},
}


@pytest.mark.parametrize("status", MEANINGS)
def test_statuses(status: int) -> None:
    """What a status means is the same for every action; without Retry-After no wait is made up for 429."""
    for kind, action in HTTP_ACTIONS:
        with RawServer(reply(status, "<html>no</html>", "text/html")) as server:
            try:
                make(server, kind).deliver(action, arguments(kind, action))
                told, wait = "done", 0.0
            except Failed as failed:
                told, wait = failed.failure, failed.wait
        assert told in MEANINGS[status], (kind, action)
        writes = server.requests[-1].method != "GET" and KINDS[kind].actions[action].creates
        assert (told == "ambiguous") is (writes and status in (502, 504)), (kind, action)
        assert status != 429 or wait == 0, (kind, action)


@every_http_action
@pytest.mark.parametrize("step", [reply(500, "<html>"), RESET, CLOSE, HANG])
def test_trouble(kind: str, action: str, step: bytes) -> None:
    """Errors of the server, a broken connection and a time-out can be tried again; only what creates leaves a doubt."""
    with RawServer(step) as server:
        failed = make(server, kind).fail(action, arguments(kind, action), timeout=0.2)
    reads = server.requests[-1].method == "GET"
    allowed = {"transient"} if reads or not KINDS[kind].actions[action].creates else {"ambiguous"}
    assert failed.failure in allowed


#: The invoice that Lexware's id map knows, and an empty list.
LEXWARE_INVOICE = reply(
    200,
    '{"id": "i1", "voucherStatus": "open", "remark": "Ref. SD-1", "address": {"contactId": "c1"}, "lineItems": []}',
)
LEXWARE_NONE = reply(200, '{"content": [], "last": true}')

#: Of Pipedrive: nobody; a person as the search and as the API shows it; its labels; a deal and the stages.
PIPEDRIVE_NOBODY = reply(200, '{"success": true, "data": {"items": []}}')
PIPEDRIVE_HIT = reply(200, '{"success": true, "data": {"items": [{"item": {"id": 1, "emails": ["eva@example.org"]}}]}}')
PIPEDRIVE_PERSON = reply(
    200, '{"success": true, "data": {"id": 1, "label_ids": [6], "custom_fields": {}, "emails": []}}'
)
PIPEDRIVE_LABELS = '{"success": true, "data": {"options": [{"id": %d, "label": "Kunde"}]}}'
PIPEDRIVE_DEAL = reply(
    200, '{"success": true, "data": {"id": 1, "pipeline_id": 1, "custom_fields": {"%s": "call-1"}}}' % ("b" * 40)
)
PIPEDRIVE_STAGES = reply(200, '{"success": true, "data": [{"id": 2, "name": "Angebot", "pipeline_id": 1}]}')
PIPEDRIVE_COMPANY = reply(200, '{"success": true, "data": {"items": [{"item": {"id": 9, "name": "Muster GmbH"}}]}}')
KNOWN_PARTY = reply(
    200, '[{"id": 1, "contact_mechanisms": [{"type": "email", "value": "eva@example.org"}], "identifiers": []}]'
)
LABELLED = reply(200, '{"data": [{"id": 1, "email": "eva@example.org"}]}')
FINAL = reply(200, '{"data": [{"id": 1, "reference": "SD-1", "status": "final"}]}')

#: Of HubSpot: a contact, a deal, the stages, a company.
HUBSPOT_CONTACT = reply(200, '{"id": "1", "properties": {"email": "eva@example.org"}}')
HUBSPOT_DEAL = reply(200, '{"id": "2", "properties": {"booking_reference": "call-1", "pipeline": "default"}}')
HUBSPOT_STAGES = reply(200, '{"results": [{"id": "default", "stages": [{"id": "s2", "label": "Angebot"}]}]}')
HUBSPOT_COMPANIES = reply(200, '{"results": [{"id": "3", "properties": {"name": "Muster GmbH"}}]}')
TRAIL_CONTACT = reply(200, '[{"id": 1, "email": "eva@example.org"}]')

#: Kind and action -> what is answered to the searches before anything is written.
BEFORE_WRITING: Mapping[tuple[str, str], tuple[bytes, ...]] = {
    ("maileon", "subscribe"): (reply(404),),
    ("maileon", "update"): (),
    ("maileon", "unsubscribe"): (),
    ("maileon", "resend_opt_in"): (reply(200, "<contact><id>1</id><permission>1</permission></contact>"),),
    ("maileon", "send_transaction"): (reply(200, "<transaction_type><name>booked</name></transaction_type>"),),
    ("rest", "upsert_contact"): (reply(200, '{"data": []}'),),
    ("rest", "set_consent"): (reply(200, '{"data": [{"id": 1, "email": "eva@example.org"}]}'),),
    ("rest", "add_note"): (reply(200, '{"data": []}'),),
    ("rest", "create_invoice"): (reply(200, '{"data": []}'), reply(200, '{"data": []}')),
    ("rest", "cancel_invoice"): (reply(200, '{"data": [{"id": 1, "reference": "SD-1", "status": "final"}]}'),),
    ("rest", "add_label"): (LABELLED, reply(200, '{"id": 1, "labels": []}')),
    ("rest", "remove_label"): (LABELLED, reply(200, '{"id": 1, "labels": ["Kurs"]}')),
    ("rest", "create_lead"): (reply(200, '{"data": []}'), reply(200, '{"data": []}')),
    ("rest", "move_deal"): (reply(200, '{"data": [{"id": 1, "reference": "call-1", "stage": "new"}]}'),),
    ("rest", "add_task"): (reply(200, '{"data": []}'),),
    ("rest", "upsert_customer"): (reply(200, '{"data": []}'),),
    ("rest", "create_credit_note"): (reply(200, '{"data": []}'), FINAL, reply(200, '{"data": []}')),
    ("rest", "record_payment"): (FINAL, reply(200, '{"data": []}')),
    ("tryton", "upsert_contact"): (reply(200, "[]"),),
    ("tryton", "add_note"): (reply(200, "[]"),),
    ("tryton", "create_invoice"): (reply(200, "[]"), reply(200, "[]")),
    ("tryton", "cancel_invoice"): (
        reply(200, '[{"id": 1, "state": "posted", "reference": "SD-1"}]'),
        reply(200, '[{"id": 2, "state": "", "reference": "SD-1/C"}]'),
    ),
    ("tryton", "add_label"): (KNOWN_PARTY, reply(200, '[{"id": 5}]'), reply(200, '{"id": 1, "categories": []}')),
    ("tryton", "remove_label"): (KNOWN_PARTY, reply(200, '[{"id": 5}]'), reply(200, '{"id": 1, "categories": [5]}')),
    ("tryton", "upsert_customer"): (reply(200, "[]"),),
    ("tryton", "create_credit_note"): (
        reply(200, "[]"),
        reply(200, '[{"id": 1, "state": "posted", "reference": "SD-1"}]'),
        reply(
            200,
            '{"id": 1, "party": 2, "invoice_address": 3, "currency": 1, "account": 4, "journal": 1, '
            '"payment_term": null, "lines": []}',
        ),
    ),
    ("seminardesk", "add_external_reference"): (),
    ("pipedrive", "upsert_contact"): (PIPEDRIVE_NOBODY,),
    ("pipedrive", "set_consent"): (PIPEDRIVE_HIT,),
    ("pipedrive", "add_note"): (PIPEDRIVE_NOBODY,),
    ("pipedrive", "add_label"): (PIPEDRIVE_HIT, PIPEDRIVE_PERSON, reply(200, PIPEDRIVE_LABELS % 5)),
    ("pipedrive", "remove_label"): (PIPEDRIVE_HIT, PIPEDRIVE_PERSON, reply(200, PIPEDRIVE_LABELS % 6)),
    ("pipedrive", "create_lead"): (PIPEDRIVE_NOBODY, PIPEDRIVE_NOBODY, PIPEDRIVE_NOBODY),
    ("pipedrive", "move_deal"): (PIPEDRIVE_NOBODY, PIPEDRIVE_HIT, PIPEDRIVE_DEAL, PIPEDRIVE_STAGES),
    ("pipedrive", "add_task"): (PIPEDRIVE_NOBODY,),
    ("pipedrive", "link"): (PIPEDRIVE_HIT, PIPEDRIVE_PERSON, PIPEDRIVE_COMPANY),
    ("hubspot", "upsert_contact"): (reply(404),),
    ("hubspot", "add_note"): (reply(404),),
    ("hubspot", "add_task"): (reply(404),),
    ("hubspot", "create_lead"): (reply(404), reply(404)),
    ("hubspot", "move_deal"): (HUBSPOT_DEAL, HUBSPOT_STAGES),
    ("hubspot", "link"): (HUBSPOT_CONTACT, HUBSPOT_COMPANIES),
    ("lexware", "upsert_customer"): (LEXWARE_NONE,),
    ("lexware", "create_invoice"): (reply(404), LEXWARE_NONE),
    ("lexware", "cancel_invoice"): (LEXWARE_INVOICE, LEXWARE_NONE),
    ("lexware", "create_credit_note"): (LEXWARE_INVOICE, LEXWARE_NONE),
    ("activetrail", "upsert_contact"): (reply(200, "[]"),),
    ("activetrail", "add_to_group"): (TRAIL_CONTACT, reply(200, '[{"id": 5, "name": "Buyers"}]')),
    ("activetrail", "remove_from_group"): (TRAIL_CONTACT, reply(200, '[{"id": 5, "name": "Buyers"}]')),
    ("activetrail", "subscribe"): (reply(200, "[]"),),
    ("activetrail", "unsubscribe"): (TRAIL_CONTACT,),
    ("etracker", "confirm_lead"): (),
    ("etracker", "confirm_sale"): (),
    ("etracker", "cancel_sale"): (),
    ("etracker", "set_amount"): (),
    ("webhook", "send"): (),
    ("seminardesk", "set_booking_status"): (reply(200, '{"id": 1, "status": "PENDING"}'),),
    ("seminardesk", "add_payment"): (reply(200, '{"id": 1, "currentPaymentAmount": 0}'),),
    ("seminardesk", "add_activity"): (),
    ("seminardesk", "set_additional_field"): (),
}


@pytest.mark.parametrize(
    ("kind", "action"), [each for each in HTTP_ACTIONS if not KINDS[each[0]].actions[each[1]].look_up]
)
def test_what_creates_says_so(kind: str, action: str) -> None:
    """A write whose answer never came is ambiguous exactly where the action is declared to create something."""
    with RawServer(*BEFORE_WRITING[kind, action], RESET) as server:
        failed = make(server, kind).fail(action, arguments(kind, action))
    assert server.requests[-1].method != "GET"
    assert failed.failure == ("ambiguous" if KINDS[kind].actions[action].creates else "transient")


@every_http_action
def test_nobody_there(kind: str, action: str) -> None:
    """A destination that does not listen is an outage, also for what creates."""
    with RawServer(CLOSE) as server:
        desk = make(server, kind)
    assert desk.fail(action, arguments(kind, action)).failure == "transient"


@every_http_action
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'"x"', b"7", b"{}", b'{"data": 7}', b"<html>", b"\xff\xfe", b"["]
)
def test_strange_bodies(kind: str, action: str, body: bytes) -> None:
    """Whatever stands in the body of a success, only our own errors come out."""
    with RawServer(reply(200, body)) as server:
        try:
            ended: Done | Failed = make(server, kind).deliver(action, arguments(kind, action))
        except Failed as failed:
            ended = failed
    assert isinstance(ended, Done | Failed)


@every_http_action
@pytest.mark.parametrize("step", [reply(401), reply(500), RESET, reply(302, Location="/login")])
def test_key_is_hidden(kind: str, action: str, step: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Neither errors, reprs nor the log tell the key or the person."""
    caplog.set_level(logging.DEBUG)
    with RawServer(step) as server:
        desk = make(server, kind)
        failed = desk.fail(action, arguments(kind, action))
    said = f"{failed!r} {failed.hint} {failed.__context__!r} {desk.options!r} {desk.client!r} {caplog.text}"
    said += repr(vars(desk.client))
    assert KEY not in said
    assert "eva@example.org" not in said
    assert any(KEY in value or "Basic" in value for value in server.requests[0].headers.values())


@pytest.mark.parametrize(
    ("kind", "action"), [(kind, action) for kind, action in HTTP_ACTIONS if KINDS[kind].actions[action].creates]
)
def test_only_the_first_attempt_may_be_hasty(kind: str, action: str) -> None:
    """After a doubt nothing is created before something was looked for, or the doubt is left to a person."""
    with RawServer(reply(500)) as server:
        make(server, kind).fail(action, arguments(kind, action), doubtful=True)
    assert [request.method for request in server.requests] in ([], ["GET"])


def test_delivery_defaults() -> None:
    """A delivery is a first attempt without doubt unless said otherwise."""
    assert Attempt("d1") == Attempt("d1", doubtful=False, attempt=1)
