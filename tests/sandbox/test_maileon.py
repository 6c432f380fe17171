import base64
from typing import Any

import pytest

from sandbox.server import Running
from tests.conftest import wait_until
from tests.sandbox.conftest import Send, send

EVA = "/contacts/email/eva%40example.org"
SUBSCRIBE = f"{EVA}?permission=1&sync_mode=1&doi=true"


def held(control: Send) -> Any:
    return control("GET", "/state/maileon").json()


def test_key_alone_is_encoded(sandbox: Running, maileon: Send) -> None:
    """The header carries base64 of the key alone; with a colon behind it, raw or unknown it is 401 in XML."""
    url, key = f"{sandbox.base('maileon')}/ping", sandbox.world.accounts.maileon_api_key
    with_colon = base64.b64encode(f"{key}:".encode()).decode()
    assert maileon("GET", "/ping").status == 200
    for header in (f"Basic {with_colon}", f"Basic {key}", f"Bearer {key}", "Basic ÿ", ""):
        answer = send(url, headers={"Authorization": header.encode("latin-1").decode("latin-1")})
        assert answer.status == 401
        assert "<error><message>" in answer.text
        assert key not in answer.text


def test_expired_key(sandbox: Running, maileon: Send) -> None:
    """A key past its date is 401."""
    assert maileon("GET", "/ping", key=sandbox.world.accounts.maileon_api_key_expired).status == 401


@pytest.mark.parametrize(("method", "status"), [("GET", 403), ("POST", 200), ("PUT", 200), ("DELETE", 403)])
def test_ping_tells_the_rights(sandbox: Running, maileon: Send, method: str, status: int) -> None:
    """`/ping` answers 403 to a method that the key has no right to."""
    key = sandbox.world.accounts.maileon_api_key_write_only
    assert maileon(method, "/ping", key=key).status == status


def test_right_to_unsubscribe(sandbox: Running, maileon: Send, control: Send) -> None:
    """A key that may only create and update cannot unsubscribe."""
    maileon("POST", SUBSCRIBE, sent={})
    key = sandbox.world.accounts.maileon_api_key_write_only
    assert maileon("DELETE", f"{EVA}/unsubscribe", key=key).status == 403
    assert held(control)["unsubscriptions"] == []


def test_create(maileon: Send, control: Send) -> None:
    """A new contact is 201 with its id in XML, also when JSON was sent."""
    answer = maileon("POST", f"{EVA}?src=cmx", sent={"standard_fields": {"FIRSTNAME": "Eva"}, "external_id": "7"})
    assert answer.status == 201
    assert "<id>1</id>" in answer.text
    [contact] = held(control)["contacts"]
    assert (contact["email"], contact["permission"], contact["src"]) == ("eva@example.org", 1, "cmx")
    assert (contact["standard_fields"], contact["external_id"]) == ({"FIRSTNAME": "Eva"}, "7")


def test_create_by_xml(maileon: Send, control: Send) -> None:
    """A contact may be sent as XML."""
    body = (
        "<contact><external_id>7</external_id><standard_fields><field><name>LASTNAME</name><value>Müster</value></field>"
        "</standard_fields><custom_fields><field><name>seminardesk_id</name><value>4711</value></field></custom_fields>"
        "</contact>"
    )
    headers = {"Content-Type": "application/vnd.maileon.api+xml; charset=utf-8"}
    assert maileon("POST", EVA, body=body.encode(), headers=headers).status == 201
    [contact] = held(control)["contacts"]
    assert contact["standard_fields"] == {"LASTNAME": "Müster"}
    assert contact["custom_fields"] == {"seminardesk_id": "4711"}


def test_existing_contact_is_ignored_by_default(maileon: Send, control: Send) -> None:
    """Without sync_mode an existing contact is left as it is and mailed nothing, and the answer is still 201."""
    maileon("POST", EVA, sent={"standard_fields": {"FIRSTNAME": "Eva"}})
    answer = maileon("POST", f"{EVA}?doi=true", sent={"standard_fields": {"FIRSTNAME": "Other"}})
    assert (answer.status, "<id>1</id>" in answer.text) == (201, True)
    assert held(control)["contacts"][0]["standard_fields"] == {"FIRSTNAME": "Eva"}
    assert held(control)["mailbox"] == []


def test_existing_contact_is_updated_on_demand(maileon: Send, control: Send) -> None:
    """With sync_mode=1 what was sent is written, an empty text clears a field, the rest stays."""
    maileon("POST", EVA, sent={"standard_fields": {"FIRSTNAME": "Eva", "CITY": "Berlin", "ZIP": "10115"}})
    maileon("POST", f"{EVA}?sync_mode=1", sent={"standard_fields": {"CITY": "Potsdam", "ZIP": ""}})
    assert held(control)["contacts"][0]["standard_fields"] == {"FIRSTNAME": "Eva", "CITY": "Potsdam"}


@pytest.mark.parametrize(("doiplus", "permission"), [("false", 4), ("true", 5)])
def test_double_opt_in(maileon: Send, control: Send, doiplus: str, permission: int) -> None:
    """A DOI mail goes out, the contact is pending at 1, the click makes it 4, with doiplus 5."""
    maileon("POST", f"{SUBSCRIBE}&doiplus={doiplus}", sent={})
    assert [mail["to"] for mail in held(control)["mailbox"]] == ["eva@example.org"]
    [contact] = held(control)["contacts"]
    assert (contact["permission"], contact["pending"]) == (1, True)
    answer = control("POST", "/maileon/confirm?email=eva@example.org")
    assert answer.json() == {"email": "eva@example.org", "permission": permission}
    assert held(control)["contacts"][0]["pending"] is False


def test_link_works_once(maileon: Send, control: Send) -> None:
    """Who has nothing to confirm gets 404."""
    maileon("POST", SUBSCRIBE, sent={})
    control("POST", "/maileon/confirm?email=eva@example.org")
    assert control("POST", "/maileon/confirm?email=eva@example.org").status == 404
    assert control("GET", "/maileon/confirm?email=nobody@example.org").status == 404


def test_pending_contact_is_mailed_again(maileon: Send, control: Send) -> None:
    """A second call for a pending contact sends a second mail: callers must not repeat blindly."""
    maileon("POST", SUBSCRIBE, sent={})
    maileon("POST", SUBSCRIBE, sent={})
    assert len(held(control)["mailbox"]) == 2


def test_confirmed_contact_is_not_mailed_again(maileon: Send, control: Send) -> None:
    """A contact that holds 4 or 5 gets no second mail and keeps its permission against a lower one."""
    maileon("POST", f"{SUBSCRIBE}&doiplus=true", sent={})
    control("POST", "/maileon/confirm?email=eva@example.org")
    maileon("POST", SUBSCRIBE, sent={})
    assert len(held(control)["mailbox"]) == 1
    assert held(control)["contacts"][0]["permission"] == 5


@pytest.mark.parametrize("settings", [{"default_doi_mailing": None}, {}])
def test_silent_failure(maileon: Send, control: Send, settings: dict[str, Any]) -> None:
    """Without a default DOI mailing, or with a wrong key, the answer is 201 and nothing is mailed."""
    path = SUBSCRIBE if settings else f"{SUBSCRIBE}&doimailing=no-such-mailing"
    if settings:
        assert control("POST", "/faults", sent={"vendor": "maileon", **settings}).status == 201
    assert maileon("POST", path, sent={}).status == 201
    assert held(control)["mailbox"] == []


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ({"custom_fields": {"nosuch": "x"}}, "The custom field 'nosuch' does not exist"),
        ({"custom_fields": {"SEMINARDESK_ID": 1}}, "The custom field 'SEMINARDESK_ID' does not exist"),
        ({"custom_fields": {"seminardesk_id": None}}, "must not be null"),
        ({"custom_fields": {"seminardesk_id": "x"}}, "is not of type integer"),
        ({"custom_fields": {"seminardesk_id": 2**31}}, "is not of type integer"),
        ({"custom_fields": {"last_booking": "21.11.2026"}}, "is not of type date"),
        ({"custom_fields": {"interests": "x" * 256}}, "is not of type string"),
        ({"standard_fields": {"EMAIL": "x"}}, "The standard field 'EMAIL' does not exist"),
        ({"standard_fields": {"GENDER": "w"}}, "illegal standard field value: gender"),
        ({"standard_fields": {"CITY": "x" * 256}}, "illegal standard field value: city"),
        ({"standard_fields": {"BIRTHDAY": "1.2.1980"}}, "illegal standard field value: birthday"),
        ([], "must be a JSON object"),
    ],
)
def test_bad_contact(maileon: Send, control: Send, sent: object, text: str) -> None:
    """What is no field, or no value of its type, is 400 with an XML error, and nothing is stored."""
    answer = maileon("POST", EVA, sent=sent)
    assert answer.status == 400
    assert answer.text.startswith('<?xml version="1.0" encoding="UTF-8"?><error><message>')
    assert text.replace("'", "&#x27;") in answer.text
    assert held(control)["contacts"] == []


@pytest.mark.parametrize(
    ("path", "body", "media", "status"),
    [
        (EVA, "", "application/vnd.maileon.api+json", 400),
        (EVA, "{", "application/vnd.maileon.api+json", 400),
        (EVA, "<contact>", "application/vnd.maileon.api+xml", 400),
        (EVA, '<!DOCTYPE x [<!ENTITY a "b">]><contact/>', "application/vnd.maileon.api+xml", 400),
        (EVA, "{}", "text/plain", 415),
        ("/contacts/email/nobody", "{}", "application/vnd.maileon.api+json", 400),
        (f"{EVA}?permission=7", "{}", "application/vnd.maileon.api+json", 400),
        (f"{EVA}?sync_mode=3", "{}", "application/vnd.maileon.api+json", 400),
        (f"{EVA}?doi=1", "{}", "application/vnd.maileon.api+json", 400),
        ("/nowhere", "{}", "application/vnd.maileon.api+json", 501),
        ("/contacts/fields/custom", "{}", "application/vnd.maileon.api+json", 501),
        (EVA, '{"preferences": [{}]}', "application/vnd.maileon.api+json", 501),
        (EVA, "<contact><preferences/></contact>", "application/vnd.maileon.api+xml", 501),
    ],
)
def test_bad_request(maileon: Send, path: str, body: str, media: str, status: int) -> None:
    """A request that is not understood has its status, and its body is XML."""
    answer = maileon("POST", path, body=body, headers={"Content-Type": media})
    assert (answer.status, "<error><message>" in answer.text) == (status, True)


def test_content_type(maileon: Send) -> None:
    """Answers have exactly the vendor's type: its PHP client reads none with a charset behind it."""
    maileon("POST", EVA, sent={"external_id": "7"})
    for path in (EVA, "/contacts/externalid/7", "/contacts/email/nobody%40example.org", "/transactions/types"):
        assert maileon("GET", path).headers["content-type"] == "application/vnd.maileon.api+xml"


def test_by_id(maileon: Send) -> None:
    """A contact is shown and unsubscribed by its id; by external id it comes as a list; types are found by name."""
    maileon("POST", EVA, sent={"external_id": "7"})
    assert "<email>eva@example.org</email>" in maileon("GET", "/contacts/contact?id=1").text
    assert "<contacts><contact>" in maileon("GET", "/contacts/externalid/7").text
    assert "<count_contacts>1<" in maileon("GET", "/contacts/count").text
    assert "<id>100</id>" in maileon("GET", "/transactions/types/booking_confirmed").text
    assert maileon("GET", "/transactions/types/nothing").status == 404
    assert maileon("GET", "/contacts/contact?id=9").status == 404
    assert maileon("DELETE", "/contacts/contact/unsubscribe?id=1").status == 204
    assert maileon("DELETE", "/contacts/externalid/7").status in (204, 404)


def test_update(maileon: Send, control: Send) -> None:
    """PUT changes what exists, may rename, and answers 404 for nobody."""
    assert maileon("PUT", EVA, sent={}).status == 404
    maileon("POST", EVA, sent={})
    answer = maileon(
        "PUT", f"{EVA}?permission=2", sent={"email": "e2@example.org", "custom_fields": {"interests": "yoga"}}
    )
    assert answer.status == 201
    [contact] = held(control)["contacts"]
    assert (contact["email"], contact["permission"]) == ("e2@example.org", 2)
    assert contact["custom_fields"] == {"interests": "yoga"}


def test_show(maileon: Send) -> None:
    """GET answers XML with the fields that were asked for, and 404 for nobody."""
    assert maileon("GET", EVA).status == 404
    maileon("POST", EVA, sent={"standard_fields": {"FIRSTNAME": "Eva", "CITY": "B & B"}})
    text = maileon("GET", f"{EVA}?standard_field=CITY&standard_field=ZIP").text
    assert "<id>1</id><email>eva@example.org</email>" in text
    assert "<permission>1</permission>" in text
    assert "<field><name>CITY</name><value>B &amp; B</value></field>" in text
    assert "FIRSTNAME" not in text


def test_unsubscribe(maileon: Send, control: Send) -> None:
    """Unsubscribing is accepted at once and done later: then the contact is gone, its data too."""
    control("POST", "/faults", sent={"vendor": "maileon", "unsubscribe_lag": 0.1})
    maileon("POST", SUBSCRIBE, sent={"standard_fields": {"FIRSTNAME": "Eva"}})
    answer = maileon("DELETE", f"{EVA}/unsubscribe?reason=no_demand%7Cmoved")
    assert answer.status == 204
    wait_until(lambda: held(control)["contacts"] == [], "the contact is anonymised")
    [one] = held(control)["unsubscriptions"]
    assert (one["email"], one["reasons"], one["done"]) == ("eva@example.org", ["no_demand|moved"], True)
    assert maileon("DELETE", f"{EVA}/unsubscribe").status == 404


@pytest.mark.parametrize("query", ["mailingId=5", "reason=whim%7Cjust+so"])
def test_unsubscribe_refused(maileon: Send, control: Send, query: str) -> None:
    """A mailing that was never sent, or a reason of no type, is 400."""
    maileon("POST", EVA, sent={})
    assert maileon("DELETE", f"{EVA}/unsubscribe?{query}").status == 400
    assert held(control)["unsubscriptions"] == []


def test_unsubscription_marker(maileon: Send, control: Send) -> None:
    """A marker is 201 when new and 200 when there, and does not unsubscribe a contact."""
    maileon("POST", EVA, sent={})
    assert maileon("GET", f"{EVA}/unsubscription").status == 404
    assert [maileon("PUT", f"{EVA}/unsubscription").status for _ in range(2)] == [201, 200]
    assert maileon("GET", f"{EVA}/unsubscription").status == 200
    assert maileon("PUT", "/contacts/email/nobody/unsubscription").status == 400
    assert len(held(control)["contacts"]) == 1
    assert maileon("DELETE", f"{EVA}/unsubscription").status == 204
    assert held(control)["markers"] == []


def test_external_id(maileon: Send, control: Send) -> None:
    """By external id a contact is created and found; several with one id are 409."""
    by_id = "/contacts/externalid/K-1"
    assert maileon("POST", by_id, sent={}).status == 400
    assert maileon("POST", by_id, sent={"email": "eva@example.org"}).status == 201
    assert "<external_id>K-1</external_id>" in maileon("GET", by_id).text
    maileon("POST", "/contacts/email/ada@example.org", sent={"external_id": "K-1"})
    assert maileon("POST", by_id, sent={"email": "eva@example.org"}).status == 409
    assert maileon("GET", by_id).status == 409
    assert maileon("DELETE", f"{by_id}/unsubscribe").status == 204
    assert len(held(control)["unsubscriptions"]) == 2


def test_delete(maileon: Send, control: Send) -> None:
    """DELETE removes the contact at once."""
    maileon("POST", EVA, sent={})
    assert maileon("DELETE", EVA).status == 204
    assert held(control)["contacts"] == []


def test_custom_fields(maileon: Send) -> None:
    """A custom field is listed once created; bad and taken names are 400."""
    assert maileon("POST", "/contacts/fields/custom/lieblingskurs?type=string").status == 201
    assert "<name>lieblingskurs</name><type>string</type>" in maileon("GET", "/contacts/fields/custom").text
    for name in ("lieblingskurs", "ab", "FIRSTNAME", "permission_type", "other?type=list"):
        assert maileon("POST", f"/contacts/fields/custom/{name}").status == 400
    assert maileon("POST", EVA, sent={"custom_fields": {"lieblingskurs": "Yoga"}}).status == 201


def test_transactions(maileon: Send, control: Send) -> None:
    """By default an invalid transaction is 200 and only its report says so; told not to ignore it, it is 400."""
    one: dict[str, Any] = {
        "typeName": "booking_confirmed",
        "contact": {"email": "eva@example.org"},
        "content": {"n": 1},
    }
    [report] = maileon("POST", "/transactions", sent=[one]).json()["reports"]
    assert (report["queued"], report["message"]) == (False, "The contact does not exist")
    assert maileon("POST", "/transactions?ignore_invalid_transactions=false", sent=[one]).status == 400
    imported = {**one, "import": {"contact": one["contact"]}}
    [report] = maileon("POST", "/transactions", sent=[imported]).json()["reports"]
    assert (report["queued"], report["transaction_id"]) == (True, "1")
    assert [contact["permission"] for contact in held(control)["contacts"]] == [1]
    assert (
        maileon("POST", "/transactions", sent=[{**one, "typeName": "nosuch"}]).json()["reports"][0]["queued"] is False
    )


def test_transaction_types(maileon: Send) -> None:
    """A type must exist before it is used, and can be made."""
    body = "<transaction_type><name>invoice_sent</name></transaction_type>"
    headers = {"Content-Type": "application/vnd.maileon.api+xml"}
    assert maileon("POST", "/transactions/types", body=body, headers=headers).status == 201
    assert "<name>invoice_sent</name>" in maileon("GET", "/transactions/types").text
    page = maileon("GET", "/transactions/types?page_index=2&page_size=1").text
    assert page.count("<transaction_type>") == page.count("<name>invoice_sent</name>") == 1


def test_account(maileon: Send) -> None:
    """The account says its name in JSON."""
    assert maileon("GET", "/account/info").json()["name"] == "Relais sandbox"


def test_reports(sandbox: Running, maileon: Send) -> None:
    """Reports tell what happened in a time, page by page, as XML; who unsubscribed by the API is among them."""
    maileon("POST", EVA, sent={})
    maileon("DELETE", f"{EVA}/unsubscribe")
    bounce = {"timestamp": 5_000, "id": 7, "email": "ada@example.org", "type": "permanent"}
    sandbox.world.maileon.tell({"bounces": [bounce, {**bounce, "timestamp": 9_000}]})
    assert "<email>eva@example.org</email>" in maileon("GET", "/reports/unsubscriptions").text
    page = maileon("GET", "/reports/bounces?from_date=1000&to_date=9000&page_size=1&page_index=2").text
    assert "<bounces><bounce><contact><id>7</id><email>ada@example.org</email></contact><timestamp>9000" in page
    assert "<bounce>" not in maileon("GET", "/reports/bounces?to_date=100").text
    assert maileon("GET", "/reports/bounces?page_size=1001").status == 400
    assert maileon("GET", "/reports/bounces?status_code=5").status == 501
