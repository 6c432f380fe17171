import base64
import time
from typing import Any

import pytest
from pydantic import ValidationError

from sandbox.server import Running
from tests.workers.destinations.conftest import Desk, order
from tests.workers.wire import RESET, RawServer, reply
from workers.destinations import maileon
from workers.destinations.base import UNRESOLVED
from workers.destinations.maileon import Subscribe, Update
from workers.http import HttpAnswer

EVA = {"email": "eva@example.org", "consent": {"newsletter": True}}
KIM = {"email": "kim@example.org", "consent": {"newsletter": True}}
TRACKED = {"email": "eva@example.org", "consent": {"newsletter": True, "tracking": True}}
FIELDS = {"fields": {"LASTNAME": "Muster"}}
ABSENT = reply(404, "<error><message>unknown</message></error>", maileon.XML)
MADE = reply(201, "<id>7</id>", maileon.XML)


@pytest.fixture
def desk(sandbox: Running) -> Desk:
    """A Maileon whose key may do everything."""
    return Desk("maileon", {"base": sandbox.base("maileon"), "api_key": sandbox.world.accounts.maileon_api_key})


def contacts(sandbox: Running) -> list[dict[str, Any]]:
    """Return what Maileon holds."""
    return list(sandbox.world.maileon.holds()["contacts"])


def mails(sandbox: Running) -> int:
    """Return how many opt-in mails went out."""
    return len(sandbox.world.maileon.mailbox)


def write_only(sandbox: Running) -> Desk:
    """Return a Maileon whose key may create and update only, as the usual recipe grants it."""
    key = sandbox.world.accounts.maileon_api_key_write_only
    return Desk("maileon", {"base": sandbox.base("maileon"), "api_key": key})


def scripted(server: RawServer) -> Desk:
    """Return a Maileon that answers from a script."""
    return Desk("maileon", {"base": server.url, "api_key": "key-1"})


def test_subscribe(desk: Desk, sandbox: Running) -> None:
    """A sign-up makes a contact without permission, with its fields, and sends one opt-in mail."""
    done = desk.deliver("subscribe", EVA | {"fields": {"FIRSTNAME": "Eva", "TITLE": None}, "source_text": "cmx"})
    (contact,) = contacts(sandbox)
    assert (contact["permission"], contact["pending"], contact["src"]) == (1, True, "cmx")
    assert contact["standard_fields"] == {"FIRSTNAME": "Eva"}
    assert done.result == {"id": str(contact["id"])}
    assert [mail["doiplus"] for mail in sandbox.world.maileon.mailbox] == [False]


def test_d5b_standard_fields_are_text(desk: Desk, sandbox: Running) -> None:
    """D5b: true, false and numbers arrive as the text that they are everywhere; an empty text clears."""
    desk.deliver("subscribe", EVA | {"fields": {"FIRSTNAME": True, "LASTNAME": 5.0, "ZIP": 1.5, "CITY": ""}})
    (contact,) = contacts(sandbox)
    assert contact["standard_fields"] == {"FIRSTNAME": "true", "LASTNAME": "5", "ZIP": "1.5"}


def test_subscribe_on_the_wire() -> None:
    """The request is the documented one: percent-encoded address, permission 1, sync_mode 1, the opt-in flags."""
    with RawServer(reply(403), ABSENT, MADE) as server:
        scripted(server).deliver(
            "subscribe",
            TRACKED | {"email": " Eva+News@Example.org ", "doi_mailing": "k/1", "custom_fields": {"cmx_id": 815}},
        )
    assert [request.method for request in server.requests] == ["GET", "GET", "POST"]
    assert server.requests[0].target == "/contacts/fields/custom"
    post = server.requests[2]
    assert post.target == (
        "/contacts/email/eva%2Bnews%40example.org?permission=1&sync_mode=1&doi=true&doiplus=true&doimailing=k%2F1"
    )
    assert post.headers["content-type"] == "application/vnd.maileon.api+json"
    assert post.headers["authorization"] == "Basic " + base64.b64encode(b"key-1").decode()
    assert post.json() == {"custom_fields": {"cmx_id": 815}}


def test_tracking_asks_for_doi_plus(desk: Desk, sandbox: Running) -> None:
    """With consent to tracking the confirmed permission is 5."""
    desk.deliver("subscribe", TRACKED)
    sandbox.world.maileon.confirm("eva@example.org")
    assert contacts(sandbox)[0]["permission"] == 5


def test_no_consent(desk: Desk, sandbox: Running) -> None:
    """Without newsletter consent nothing is sent, whoever asks."""
    failed = desk.fail("subscribe", {"email": "eva@example.org", "consent": {"tracking": True}})
    assert (failed.failure, failed.code) == ("permanent", "no_consent")
    assert not list(sandbox.world.journal.entries())


def test_pending_gets_no_second_mail(desk: Desk, sandbox: Running) -> None:
    """A second sign-up while the first is pending completes the fields and sends no mail."""
    desk.deliver("subscribe", EVA)
    done = desk.deliver("subscribe", EVA | FIELDS, id="d2")
    assert done.note == "already_pending"
    assert contacts(sandbox)[0]["standard_fields"] == {"LASTNAME": "Muster"}
    assert mails(sandbox) == 1


@pytest.mark.parametrize("may_read", [True, False])
def test_two_people_get_a_mail_each(desk: Desk, sandbox: Running, may_read: bool) -> None:
    """That one is pending says nothing about another: each gets one opt-in mail, and neither a second one."""
    desk = desk if may_read else write_only(sandbox)
    for n, who in enumerate((EVA, KIM, EVA, KIM)):
        desk.deliver("subscribe", who, id=f"d{n}")
    assert [mail["to"] for mail in sandbox.world.maileon.mailbox] == ["eva@example.org", "kim@example.org"]


def test_one_leaves_and_another_stays(desk: Desk, sandbox: Running) -> None:
    """That one has unsubscribed says nothing about another: who has confirmed gets no further mail."""
    for who in (EVA, KIM):
        desk.deliver("subscribe", who)
        sandbox.world.maileon.confirm(str(who["email"]))
    sandbox.world.tell("maileon", {"unsubscribe_lag": 0})
    desk.deliver("unsubscribe", {"email": "eva@example.org"}, id="d2")
    assert desk.deliver("subscribe", KIM, id="d3").note == "already_confirmed"
    assert mails(sandbox) == 2


def test_days_that_marks_are_remembered(sandbox: Running) -> None:
    """Pending and the doubt about a first mail last as long as the option says, an unsubscription two days."""
    options = {"base": sandbox.base("maileon"), "api_key": sandbox.world.accounts.maileon_api_key, "pending_days": 3}
    desk = Desk("maileon", options)
    desk.deliver("subscribe", EVA)
    assert desk.memory.days == {"it:before:d1": 3, "it:opt_in:eva@example.org": 3}
    desk.deliver("unsubscribe", {"email": "eva@example.org"}, id="d2")
    assert desk.memory.days["it:opt_in:eva@example.org"] == 2
    assert desk.memory.values["it:opt_in:eva@example.org"] == "unsubscribed"


@pytest.mark.parametrize(("days", "right"), [(0, False), (1, True), (90, True), (91, False)])
def test_bounds_of_pending_days(days: int, right: bool) -> None:
    """An opt-in is pending for one to ninety days."""
    options = {"api_key": "k", "pending_days": days}
    if right:
        assert maileon.MaileonOptions.model_validate(options).pending_days == days
        return
    with pytest.raises(ValidationError):
        maileon.MaileonOptions.model_validate(options)


def test_confirmed_gets_no_second_mail(desk: Desk, sandbox: Running) -> None:
    """A sign-up of somebody who has confirmed completes the fields and sends no mail, with an empty memory too."""
    desk.deliver("subscribe", EVA)
    sandbox.world.maileon.confirm("eva@example.org")
    desk.memory.values.clear()
    done = desk.deliver("subscribe", EVA | FIELDS, id="d2")
    assert (done.note, done.result) == ("already_confirmed", {"id": "1"})
    assert [request.call.method for request in sandbox.world.journal.entries()][-1] == "PUT"
    assert mails(sandbox) == 1


def test_confirmed_without_tracking_is_asked_again(sandbox: Running) -> None:
    """Who confirmed without tracking and now agrees to it has to confirm that."""
    with RawServer(reply(200, "<contact><id>7</id><permission>4</permission></contact>"), MADE) as server:
        scripted(server).deliver("subscribe", TRACKED)
    assert "doiplus=true" in server.requests[1].target


@pytest.mark.parametrize("permission", [1, 2, 3, 6])
def test_imported_contact_gets_its_mail(permission: int) -> None:
    """A contact that was there without a confirmed opt-in, be it by another way (6), gets its opt-in mail."""
    contact = f"<contact><id>7</id><permission>{permission}</permission></contact>"
    with RawServer(reply(200, contact), MADE) as server:
        scripted(server).deliver("subscribe", EVA)
    assert [request.method for request in server.requests] == ["GET", "POST"]


def test_key_without_right_to_read(sandbox: Running) -> None:
    """With a key for create and update only, the memory alone keeps the second mail away."""
    desk = write_only(sandbox)
    desk.deliver("subscribe", EVA)
    assert desk.deliver("subscribe", EVA | FIELDS, id="d2").note == "already_pending"
    assert mails(sandbox) == 1


def test_doubt_that_find_settles_not_done(desk: Desk, sandbox: Running) -> None:
    """After a doubtful attempt that Maileon knows nothing of, the mail is sent."""
    desk.deliver("subscribe", EVA, doubtful=True)
    assert mails(sandbox) == 1


def test_doubt_that_find_settles_done(desk: Desk, sandbox: Running) -> None:
    """An attempt whose answer was lost is found, and sends no second mail."""
    order(sandbox, vendor="maileon", method="POST", reset=True, after_effect=True)
    failed = desk.fail("subscribe", EVA)
    assert failed.failure == "ambiguous"
    done = desk.deliver("subscribe", EVA | FIELDS, doubtful=True, attempt=2)
    assert done.note == "found"
    assert (mails(sandbox), contacts(sandbox)[0]["standard_fields"]) == (1, {"LASTNAME": "Muster"})


def test_doubt_about_a_known_contact_is_held() -> None:
    """Where the contact was there before, nothing shows whether the mail went out: a person decides."""
    with RawServer(reply(200, "<contact><id>7</id><permission>1</permission></contact>"), RESET, ABSENT) as server:
        server.script.insert(2, server.script[0])
        desk = scripted(server)
        assert desk.fail("subscribe", EVA).failure == "ambiguous"
        failed = desk.fail("subscribe", EVA, doubtful=True)
    assert (failed.failure, failed.code) == ("ambiguous", UNRESOLVED)
    assert [request.method for request in server.requests] == ["GET", "POST", "GET"]


def test_doubt_without_right_to_read_is_held(sandbox: Running) -> None:
    """A key that cannot look cannot settle a doubt, and the mail is not sent again."""
    failed = write_only(sandbox).fail("subscribe", EVA, doubtful=True)
    assert (failed.failure, failed.code) == ("ambiguous", UNRESOLVED)
    assert mails(sandbox) == 0


def test_server_error_after_the_mail(desk: Desk, sandbox: Running) -> None:
    """A 500 on the opt-in is ambiguous: the mail may be out."""
    order(sandbox, vendor="maileon", method="POST", status=500, after_effect=True)
    assert desk.fail("subscribe", EVA).failure == "ambiguous"


def test_subscribe_after_unsubscribe(desk: Desk, sandbox: Running) -> None:
    """Who leaves and comes back gets a new opt-in mail, also while Maileon still shows the old consent."""
    desk.deliver("subscribe", EVA)
    sandbox.world.maileon.confirm("eva@example.org")
    sandbox.world.tell("maileon", {"unsubscribe_lag": 60})
    assert desk.fail("unsubscribe", {"email": "eva@example.org"}).code == "not_in_force"
    desk.deliver("subscribe", EVA, id="d2")
    posts = [entry for entry in sandbox.world.journal.entries() if entry.call.method == "POST"]
    assert len(posts) == 2


def test_unsubscribed_elsewhere_while_pending(desk: Desk, sandbox: Running) -> None:
    """A pending contact that Maileon no longer has is signed up anew."""
    desk.deliver("subscribe", EVA)
    sandbox.world.maileon.contacts.clear()
    desk.deliver("subscribe", EVA | FIELDS, id="d2")
    assert mails(sandbox) == 2


def test_update(desk: Desk, sandbox: Running) -> None:
    """An update changes what is given, leaves null alone, clears with an empty text and keeps the permission."""
    desk.deliver("subscribe", EVA | {"fields": {"FIRSTNAME": "Eva", "LASTNAME": "Muster", "CITY": "Ulm"}})
    sandbox.world.maileon.confirm("eva@example.org")
    desk.deliver("update", {"email": "EVA@example.org", "fields": {"FIRSTNAME": None, "LASTNAME": "Neu", "CITY": ""}})
    (contact,) = contacts(sandbox)
    assert contact["permission"] == 4
    assert contact["standard_fields"]["FIRSTNAME"] == "Eva"
    assert contact["standard_fields"]["LASTNAME"] == "Neu"
    assert contact["standard_fields"].get("CITY", "") == ""


def test_update_of_the_address(desk: Desk, sandbox: Running) -> None:
    """A new e-mail address is written at the old contact."""
    desk.deliver("subscribe", EVA)
    desk.deliver("update", {"email": "eva@example.org", "new_email": "Eva.Neu@example.org"})
    assert [contact["email"] for contact in contacts(sandbox)] == ["eva.neu@example.org"]


def test_update_adds_nobody(desk: Desk, sandbox: Running) -> None:
    """An update of somebody who is no contact is done with a note and adds nobody."""
    assert desk.deliver("update", {"email": "eva@example.org"} | FIELDS).note == "not_there"
    assert contacts(sandbox) == []


def test_update_with_nothing(desk: Desk, sandbox: Running) -> None:
    """An update without values sends nothing."""
    assert desk.deliver("update", {"email": "eva@example.org"}).note == "nothing_to_change"
    assert not list(sandbox.world.journal.entries())


def test_unknown_custom_field_is_permanent(desk: Desk) -> None:
    """A custom field that the account does not have is a dead letter."""
    desk.deliver("subscribe", EVA)
    failed = desk.fail("update", {"email": "eva@example.org", "custom_fields": {"no_such_field": 1}})
    assert (failed.failure, failed.code) == ("permanent", "unknown_field")
    assert "no_such_field" in failed.hint


@pytest.mark.parametrize(
    ("reason", "sent"), [("no_demand", "no_demand"), ("no_demand|moved", "no_demand|moved"), ("Umzug", "other|Umzug")]
)
def test_unsubscribe(desk: Desk, sandbox: Running, reason: str, sent: str) -> None:
    """Unsubscribing names the reason in Maileon's words, others as `other`."""
    desk.deliver("subscribe", EVA)
    desk.deliver("unsubscribe", {"email": "eva@example.org", "reason": reason})
    assert [one["reasons"] for one in sandbox.world.maileon.holds()["unsubscriptions"]] == [[sent]]


def test_unsubscribe_nobody(desk: Desk) -> None:
    """Unsubscribing somebody who is no contact is done with a note."""
    assert desk.deliver("unsubscribe", {"email": "eva@example.org"}).note == "not_there"


def test_unsubscribe_without_the_right(sandbox: Running) -> None:
    """The usual key may not unsubscribe: the destination is paused and the hint says which right is missing."""
    failed = write_only(sandbox).fail("unsubscribe", {"email": "eva@example.org"})
    assert failed.failure == "credential"
    assert "DELETE" in failed.hint


def test_expired_key(sandbox: Running) -> None:
    """An expired key pauses the destination."""
    key = sandbox.world.accounts.maileon_api_key_expired
    desk = Desk("maileon", {"base": sandbox.base("maileon"), "api_key": key})
    assert desk.fail("subscribe", EVA).failure == "credential"


def test_strange_standard_field() -> None:
    """A standard field that Maileon does not have is refused before anything runs, with the mend."""
    with pytest.raises(ValidationError, match="custom_fields"):
        Update.model_validate({"email": "eva@example.org", "fields": {"Vorname": "Eva"}})


@pytest.mark.parametrize("email", ["", "eva", "eva@", "@example.org", "eva @example.org", "a@b@c"])
def test_no_email(email: str) -> None:
    """What is no e-mail address is refused."""
    with pytest.raises(ValidationError):
        Subscribe.model_validate(EVA | {"email": email})


@pytest.mark.parametrize(
    "key",
    [
        "5a9db0c5-0000-4000-8000-000000000000",
        base64.b64encode(b"5a9db0c5-0000-4000-8000-000000000000").decode(),
        "Basic " + base64.b64encode(b"5a9db0c5-0000-4000-8000-000000000000").decode(),
    ],
)
def test_key_raw_or_encoded(key: str) -> None:
    """The key works as Maileon shows it and as it stands in the header."""
    assert base64.b64decode(maileon.encode_key(key)) == b"5a9db0c5-0000-4000-8000-000000000000"


@pytest.mark.parametrize("key", ["abcdefgh", "key-1", "ÄÖÜ"])
def test_key_that_looks_encoded(key: str) -> None:
    """A raw key whose decoding is no printable text is encoded."""
    assert base64.b64decode(maileon.encode_key(key)).decode() == key


@pytest.mark.parametrize(
    ("body", "id", "permission"),
    [
        ("<contact><id>7</id><permission>5</permission></contact>", "7", 5),
        ("<contact><id> 7 </id><permission>doi+</permission></contact>", "7", 5),
        ("<contact><id>7</id><permission><type>doi</type></permission></contact>", "7", 4),
        ('{"id": 7, "permission": 4}', "7", 4),
        ('{"id": "7", "permission": {"type": "soi", "code": 2}}', "7", 2),
        ("7", "7", 1),
        ("<html>", None, 1),
    ],
)
def test_answers(body: str, id: str | None, permission: int) -> None:
    """Id and permission are read from XML and JSON, by number and by name; what is not understood is no consent."""
    got = HttpAnswer(200, {}, "", body.encode())
    assert (maileon.read_id(got), maileon.read_permission(got)) == (id, permission)


def test_custom_fields_are_made(sandbox: Running) -> None:
    """Where the book says so, a custom field that the account does not have is made, by the type of its value."""
    options = {"base": sandbox.base("maileon"), "api_key": sandbox.world.accounts.maileon_api_key}
    desk = Desk("maileon", options | {"make_custom_fields": True})
    fields = {"relais_text": "x", "relais_number": 7, "relais_flag": True, "relais_none": None}
    desk.deliver("subscribe", EVA | {"custom_fields": fields})
    made = sandbox.world.maileon.custom_fields
    assert {name: made[name] for name in made if name.startswith("relais_")} == {
        "relais_text": "string",
        "relais_number": "integer",
        "relais_flag": "boolean",
    }
    assert contacts(sandbox)[0]["custom_fields"]["relais_text"] == "x"


@pytest.mark.parametrize("listed", [reply(404), reply(200, "<list/>"), reply(200, '{"fields": []}'), reply(403)])
def test_fields_that_cannot_be_listed(listed: bytes) -> None:
    """A list that is refused, or has another shape than the documented one, refuses nothing."""
    with RawServer(listed, ABSENT, MADE) as server:
        done = scripted(server).deliver("subscribe", EVA | {"custom_fields": {"cmx_id": 815}})
    assert done.result == {"id": "7"}


def age_mark(desk: Desk, days: float) -> None:
    """Let the opt-in mail be sent some days ago."""
    desk.memory.values["it:opt_in:eva@example.org"] = f"pending {int(time.time() - days * 86_400)}"


def test_resend_opt_in(desk: Desk, sandbox: Running) -> None:
    """The opt-in mail is sent once more to who is pending so many days, and to nobody else."""
    resend = EVA | {"after_days": 3}
    assert desk.deliver("resend_opt_in", resend).note == "not_there"
    desk.deliver("subscribe", EVA, id="d2")
    assert desk.deliver("resend_opt_in", resend, id="d3").note == "already_sent"
    assert mails(sandbox) == 1
    age_mark(desk, 3.1)
    assert desk.deliver("resend_opt_in", resend, id="d4").note == ""
    assert desk.deliver("resend_opt_in", resend, id="d5").note == "already_sent"
    assert mails(sandbox) == 2
    sandbox.world.maileon.confirm("eva@example.org")
    age_mark(desk, 4)
    assert desk.deliver("resend_opt_in", resend, id="d6").note == "already_confirmed"
    sandbox.world.tell("maileon", {"unsubscribe_lag": 0})
    desk.deliver("unsubscribe", {"email": "eva@example.org"}, id="d7")
    assert desk.deliver("resend_opt_in", resend, id="d8").note == "not_there"
    assert mails(sandbox) == 2


def test_resend_in_doubt(desk: Desk, sandbox: Running) -> None:
    """A second mail that may have gone out waits for a person; without consent, or unseen, there is none."""
    desk.deliver("subscribe", EVA)
    age_mark(desk, 4)
    assert desk.fail("resend_opt_in", EVA, doubtful=True).code == UNRESOLVED
    assert desk.fail("resend_opt_in", EVA | {"consent": {"newsletter": False}}).code == "no_consent"
    failed = write_only(sandbox).fail("resend_opt_in", EVA)
    assert (failed.failure, failed.code) == ("permanent", "forbidden")
    assert mails(sandbox) == 1


BOOKED = {"email": "eva@example.org", "type": "booking_confirmed", "content": {"booking_id": "815", "none": None}}


def test_transaction(desk: Desk, sandbox: Running) -> None:
    """A transaction is sent to a contact; its type is looked up, and each that is not queued is a dead letter."""
    desk.deliver("subscribe", EVA)
    done = desk.deliver("send_transaction", BOOKED, id="d2")
    (sent,) = sandbox.world.maileon.holds()["transactions"]
    assert (sent["typeName"], sent["content"]) == ("booking_confirmed", {"booking_id": "815"})
    assert done.status == 200
    unknown = desk.fail("send_transaction", BOOKED | {"type": "Booking_confirmed"}, id="d3")
    assert (unknown.failure, unknown.code) == ("permanent", "unknown_type")
    nobody = desk.fail("send_transaction", BOOKED | {"email": "kim@example.org"}, id="d4")
    assert (nobody.failure, nobody.status) == ("permanent", 400)
    assert "kim" not in nobody.hint
    desk.deliver("send_transaction", BOOKED | {"email": "kim@example.org", "make_contact": True}, id="d5")
    assert {each["email"]: each["permission"] for each in contacts(sandbox)}["kim@example.org"] == 1
    assert desk.fail("send_transaction", BOOKED, id="d6", doubtful=True).code == UNRESOLVED


@pytest.mark.parametrize(
    ("reports", "failure", "code"),
    [
        ('[{"queued": false, "message": "eva@example.org is blocked"}]', "permanent", "not_queued"),
        ('[{"queued": "yes"}]', "ambiguous", "bad_answer"),
        ("[]", "ambiguous", "bad_answer"),
    ],
)
def test_transaction_that_is_not_queued(reports: str, failure: str, code: str) -> None:
    """A 200 is none where the report does not say that the transaction is queued; nobody's address is told."""
    types = reply(
        200,
        "<transaction_types><transaction_type><name>booking_confirmed</name></transaction_type></transaction_types>",
    )
    with RawServer(types, reply(200, f'{{"reports": {reports}}}')) as server:
        failed = scripted(server).fail("send_transaction", BOOKED)
    assert (failed.failure, failed.code) == (failure, code)
    assert "eva" not in failed.hint
    assert server.requests[1].target == "/transactions?ignore_invalid_transactions=false"


def test_attributes_are_no_types() -> None:
    """Only a type's own name counts, not those of its attributes."""
    types = reply(
        200,
        "<transaction_types><transaction_type><name>a</name><attributes><attribute>"
        "<name>booking_confirmed</name></attribute></attributes></transaction_type></transaction_types>",
    )
    with RawServer(types) as server:
        assert scripted(server).fail("send_transaction", BOOKED).code == "unknown_type"


def test_full_page_of_types() -> None:
    """A list of a round length may lack a type that exists: the transaction is sent, and Maileon's answer counts."""
    names = "".join(f"<transaction_type><name>t{n}</name></transaction_type>" for n in range(50))
    sent = reply(200, '{"reports": [{"queued": true, "transaction_id": "7"}]}')
    with RawServer(reply(200, f"<transaction_types>{names}</transaction_types>"), sent) as server:
        assert scripted(server).deliver("send_transaction", BOOKED).result == {"id": "7"}
