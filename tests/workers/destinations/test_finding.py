"""Which object a delivery is about, at each kind of destination: equal, which, the id map, 409, and what is done."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest

from rules.catalogue import Name
from sandbox.server import Running
from tests.workers.destinations.conftest import Desk, order
from tests.workers.destinations.test_contract import BEFORE_WRITING, EXAMPLES, KNOWN
from tests.workers.wire import RawServer, reply
from workers.destinations import DESTINATIONS
from workers.destinations.base import LeaseGivenBack
from workers.destinations.finding import BELIEVED, equals
from workers.destinations.tryton import REPEATED
from workers.outcome import HELD
from workers.retry import HoldBox, decide, destination_health

EVA = {"email": "eva@example.org"}
NUMBER = {"external_id": "4711"}
NAMED = {"first_name": "Eva", "last_name": "Muster"}
PAGE = reply(200, "<!doctype html><html><body>Please log in</body></html>", "text/html")
TEXT = reply(200, "Thank you!", "text/plain")


class FindVendor:
    """How one kind of vendor shows contacts, for tests that hold for each."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def desk(self, server: RawServer, **options: Any) -> Desk:
        """Return the destination, pointed at a server."""
        own = {"database": "shop", "key": "k"} if self.kind == "tryton" else {}
        return Desk(self.kind, {"base": server.url, **own, **options})

    def contact(self, id: int, email: str | None = None, external_id: str | None = None, **more: Any) -> dict[str, Any]:
        """Return a contact as the vendor shows it."""
        if self.kind == "rest":
            return {"id": id, "email": email, "external_id": external_id, **more}
        return {
            "id": id,
            "name": "x",
            "addresses": [{"id": 9}],
            "contact_mechanisms": [{"id": 1, "type": "email", "value": email}],
            "identifiers": [{"code": external_id}],
            **more,
        }

    def hits(self, *contacts: Mapping[str, Any]) -> bytes:
        """Return the answer to a search."""
        return reply(200, json.dumps({"data": contacts} if self.kind == "rest" else contacts))

    def one(self, contact: Mapping[str, Any]) -> bytes:
        """Return the answer to a read or a write."""
        return reply(200, json.dumps(contact))


every_vendor = pytest.mark.parametrize("vendor", [FindVendor("rest"), FindVendor("tryton")], ids=["rest", "tryton"])


def asked(server: RawServer) -> list[str]:
    """Return methods and last parts of the addresses, in order."""
    return [f"{each.method} {urlsplit(each.target).path.rpartition('/')[2]}" for each in server.requests]


# Equal


@pytest.mark.parametrize(
    ("kind", "ours", "theirs", "same"),
    [
        ("email", "eva@example.org", "EVA@Example.org", True),
        ("email", "eva@xn--bcher-kva.example", "eva@bücher.example", True),
        ("email", "eva@example.org", "eva@example.org.example", False),
        ("email", "eva@example.org", "", False),
        ("email", "eva@example.org", None, False),
        ("email", "eva@example.org", 7, False),
        ("phone", "+4930123456", "+49 (0)30 123456", True),
        ("phone", "+4930123456", "+49 30 123457", False),
        ("phone", "30123456", 30123456, True),
        ("phone", "+4930123456", "", False),
        ("phone", "+4930123456", None, False),
        ("external_id", "12", 12, True),
        ("external_id", "12", "12", True),
        ("external_id", "12", 12.0, False),
        ("external_id", "1", True, False),
        ("external_id", "ab", "AB", False),
        ("external_id", "ab", "", False),
        ("external_id", "None", None, False),
        ("invoice", "SD-1", "sd-1", False),
    ],
)
def test_equal(kind: str, ours: str, theirs: Any, same: bool) -> None:
    """Addresses and numbers are compared by their keys, ids as exact text; absent, null and empty equal nothing."""
    assert equals(Name(kind, ours), theirs) is same


@every_vendor
@pytest.mark.parametrize("theirs", [None, "", "ole@example.org", "eva@example.org.example"])
def test_hit_of_somebody_else(vendor: FindVendor, theirs: str | None) -> None:
    """A hit whose address is null, empty or another one is nobody: a contact is made."""
    with RawServer(vendor.hits(vendor.contact(1, theirs)), vendor.one(vendor.contact(2))) as server:
        done = vendor.desk(server).deliver("upsert_contact", EVA)
    assert (done.result["id"], done.result["created"]) == ("2", True)


def test_hit_without_the_field_is_read() -> None:
    """Where a search leaves out the field, the objects are read and compared: the right one is written."""
    script = [reply(200, '{"data": [{"id": 1}, {"id": 2}]}'), reply(200, '{"id": 1, "email": "ole@example.org"}')]
    with RawServer(*script, reply(200, '{"id": 2, "email": "eva@example.org"}')) as server:
        done = Desk("rest", {"base": server.url}).deliver("upsert_contact", EVA | NAMED)
    assert done.result == {"id": "2", "created": False}
    assert asked(server) == ["GET contacts", "GET 1", "GET 2", "PATCH 2"]


@pytest.mark.parametrize("hits", [1, 6])
def test_field_that_nobody_shows(hits: int) -> None:
    """An object that lacks the field too is no answer, nor are more hits than are read: an operator mends the book."""
    found = reply(200, json.dumps({"data": [{"id": n} for n in range(1, hits + 1)]}))
    with RawServer(found, reply(200, '{"id": 1}')) as server:
        failed = Desk("rest", {"base": server.url}).fail("upsert_contact", EVA)
    assert (failed.failure, failed.code) == ("permanent", "search_unreadable")
    assert failed.hint == (
        "their search returns no `email`: name the field under `fields`, or say `trust_search: true`"
    )
    assert not [each for each in server.requests if each.method != "GET"]


def test_trust_search() -> None:
    """A search that leaves out the field is believed where the book says so, but never for a consent."""
    with RawServer(reply(200, '{"data": [{"id": 7}]}'), reply(200, "{}")) as server:
        desk = Desk("rest", {"base": server.url, "contacts": {"trust_search": True}})
        assert desk.deliver("upsert_contact", EVA | NAMED).result == {"id": "7", "created": False}
    assert asked(server) == ["GET contacts", "PATCH 7"]
    with RawServer(reply(200, '{"data": [{"id": 7}]}'), reply(200, '{"id": 7}')) as server:
        desk = Desk("rest", {"base": server.url, "contacts": {"trust_search": True}})
        failed = desk.fail("set_consent", EVA | {"newsletter": True})
    assert (failed.code, "trust_search" in failed.hint) == ("search_unreadable", False)
    assert "PATCH 7" not in asked(server)


# Which


@every_vendor
def test_all_names_are_searched(vendor: FindVendor) -> None:
    """Whoever is found by one name gets the other one; the one it was found by is not written."""
    script = [vendor.hits(), vendor.hits(vendor.contact(1, "eva@example.org"))]
    with RawServer(*script, vendor.one(vendor.contact(1))) as server:
        done = vendor.desk(server).deliver("upsert_contact", EVA | NUMBER)
    assert done.result == {"id": "1", "created": False}
    written = json.dumps(server.requests[-1].json())
    assert ("4711" in written, "eva@example.org" in written) == (True, False)


@every_vendor
def test_name_that_the_object_shows_is_not_searched(vendor: FindVendor) -> None:
    """An object found by its id that shows the address, too, is asked for once."""
    with RawServer(vendor.hits(vendor.contact(1, "eva@example.org", "4711"))) as server:
        assert vendor.desk(server).deliver("upsert_contact", EVA | NUMBER).result == {"id": "1", "created": False}
    assert len(server.requests) == 1


@every_vendor
def test_several_objects(vendor: FindVendor) -> None:
    """One address at two contacts waits for a person, who is told their ids and nothing of the person."""
    found = vendor.hits(vendor.contact(12, "eva@example.org"), vendor.contact(15, "eva@example.org"))
    with RawServer(found) as server:
        failed = vendor.desk(server).fail("upsert_contact", EVA | NAMED)
    assert failed.code == "several_objects"
    assert failed.hint == "the address is at contacts 12 and 15: merge them there, then release"
    assert decide(failed, 1) == HoldBox("several_objects")
    assert asked(server)[1:] == []


@every_vendor
def test_several_objects_of_which_one_fits(vendor: FindVendor) -> None:
    """One address at two contacts means the one that has the other name as well."""
    both = vendor.hits(vendor.contact(12, "eva@example.org"), vendor.contact(15, "eva@example.org", "4711"))
    for script in ([both], [vendor.hits(vendor.contact(15, None, "4711")), both]):
        with RawServer(*script, vendor.one(vendor.contact(15))) as server:
            desk = vendor.desk(server)
            names = EVA | NUMBER if len(script) == 2 else NUMBER | EVA
            assert desk.deliver("upsert_contact", names).result == {"id": "15", "created": False}


@every_vendor
def test_two_objects(vendor: FindVendor) -> None:
    """Two names of two contacts: nothing is written, whichever were chosen could be another person."""
    script = [
        vendor.hits(vendor.contact(12, "old@example.org", "4711")),
        vendor.hits(vendor.contact(15, "eva@example.org")),
    ]
    with RawServer(*script) as server:
        failed = vendor.desk(server).fail("upsert_contact", EVA | NUMBER | NAMED)
    assert (failed.failure, failed.code) == ("transient", "two_objects")
    assert failed.hint.startswith("external_id is contact 12, the address is contact 15: nothing was written")
    assert {each.method for each in server.requests} == {"GET"}


@every_vendor
def test_rename(vendor: FindVendor) -> None:
    """A rename teaches the id map the new address and takes the old one away; a repeated one finds that it is done."""
    new = {"new_email": "neu@example.org"}
    script = [vendor.hits(vendor.contact(1, "eva@example.org")), vendor.hits()]
    with RawServer(*script, vendor.one(vendor.contact(1, "neu@example.org"))) as server:
        desk = vendor.desk(server)
        desk.memory.values["email:eva@example.org"] = "1"
        desk.memory.age(BELIEVED + 1)
        server.script[0] = vendor.one(vendor.contact(1, "eva@example.org"))
        assert desk.deliver("upsert_contact", EVA | new).result == {"id": "1", "created": False}
        assert desk.memory.values == {"email:neu@example.org": "1"}
    assert "neu@example.org" in json.dumps(server.requests[-1].json())
    with RawServer(vendor.hits(), vendor.hits(vendor.contact(1, "neu@example.org"))) as server:
        desk = vendor.desk(server)
        assert desk.deliver("upsert_contact", EVA | new, attempt=2).result == {"id": "1", "created": False}
        assert desk.memory.values == {"email:neu@example.org": "1"}
    assert {each.method for each in server.requests} == {"GET"}


def test_address_that_was_replaced_is_forgotten() -> None:
    """A contact that was found by its id and gets another address is no longer found by the one it had."""
    found = reply(200, '{"data": [{"id": 1, "external_id": "4711", "email": "Old@example.org"}]}')
    with RawServer(found, reply(200, '{"data": []}'), reply(200, "{}")) as server:
        desk = Desk("rest", {"base": server.url})
        desk.memory.values["email:old@example.org"] = "1"
        desk.deliver("upsert_contact", EVA | NUMBER)
    assert desk.memory.values == {"external_id:4711": "1", "email:eva@example.org": "1"}


def test_withdrawn_consent_reaches_all(sandbox: Running) -> None:
    """Whoever has the address loses the permission; a permission is given to nobody while there are two."""
    desk = Desk("rest", {"base": sandbox.base("crm"), "auth": {"bearer": sandbox.world.accounts.crm_token}})
    crm = sandbox.world.crm.contacts
    for _ in range(2):
        crm.add(EVA | {"newsletter": True, "tracking": False})
    failed = desk.fail("set_consent", EVA | {"newsletter": False, "tracking": True})
    assert failed.code == "several_objects"
    assert [(each["newsletter"], each["tracking"]) for each in crm.all()] == [(False, False)] * 2
    desk.deliver("set_consent", EVA | {"newsletter": False}, id="d2")
    assert desk.fail("set_consent", EVA | {"newsletter": True}, id="d3").code == "several_objects"
    assert [each["newsletter"] for each in crm.all()] == [False, False]


def test_withdrawn_consent_does_not_trust_the_id_map(sandbox: Running) -> None:
    """The contact that the id map names, and each other one that a search finds, lose the permission."""
    desk = Desk("rest", {"base": sandbox.base("crm"), "auth": {"bearer": sandbox.world.accounts.crm_token}})
    desk.deliver("upsert_contact", EVA)
    sandbox.world.crm.contacts.add(EVA | {"newsletter": True})
    desk.deliver("set_consent", EVA | {"newsletter": False}, id="d2")
    assert [each["newsletter"] for each in sandbox.world.crm.contacts.all()] == [False, False]


# Meeting


@every_vendor
@pytest.mark.parametrize("action", ["upsert_contact", "add_note"])
def test_meet_before_the_first_write(vendor: FindVendor, action: str) -> None:
    """Which object was found, and all names that it shows, is said before a write; who gives way writes nothing."""
    found = vendor.hits(vendor.contact(1, "Eva@Example.org", "4711"))
    arguments = EVA | (NAMED if action == "upsert_contact" else {"text": "x"})
    with RawServer(found, vendor.one(vendor.contact(1))) as server:
        desk = vendor.desk(server)
        desk.gives_way = True
        with pytest.raises(LeaseGivenBack):
            desk.deliver(action, arguments)
        assert {each.method for each in server.requests} == {"GET"}
        assert desk.met == [(["email:eva@example.org", "external_id:4711"], "contact", "1")]
        assert desk.memory.values == {}


def test_nothing_to_tell(sandbox: Running) -> None:
    """With a warm id map nobody is told anything, nor after a create."""
    desk = Desk("rest", {"base": sandbox.base("crm"), "auth": {"bearer": sandbox.world.accounts.crm_token}})
    desk.deliver("upsert_contact", EVA | NUMBER)
    desk.deliver("upsert_contact", EVA | NUMBER | NAMED, id="d2")
    desk.deliver("add_note", EVA | {"text": "x"}, id="d3")
    desk.deliver("set_consent", EVA | {"newsletter": True}, id="d4")
    assert desk.met == []
    desk.memory.values.clear()
    desk.deliver("set_consent", EVA | {"newsletter": False}, id="d5")
    assert desk.met == [(["email:eva@example.org", "external_id:4711"], "contact", "c1")]


@every_vendor
def test_invoice_is_met_before_it_is_cancelled(vendor: FindVendor) -> None:
    """An invoice that a search found is told before it is deleted."""
    one = {"id": 3, "reference": "SD-1", "state": "draft", "status": "draft"}
    with RawServer(vendor.hits(one)) as server:
        desk = vendor.desk(server)
        desk.gives_way = True
        with pytest.raises(LeaseGivenBack):
            desk.deliver("cancel_invoice", {"reference": "SD-1", "customer": EVA})
    assert desk.met == [(["invoice:SD-1"], "invoice", "3")]
    assert len(server.requests) == 1


# The id map


@every_vendor
def test_create_writes_the_id_map(vendor: FindVendor) -> None:
    """What was created is known by all its names before anything else happens, and is not searched again."""
    script = [vendor.hits(), vendor.hits(), vendor.one(vendor.contact(1, "eva@example.org", "4711"))]
    with RawServer(*script) as server:
        desk = vendor.desk(server)
        desk.deliver("upsert_contact", EVA | NUMBER | {"phone": "+4930123456"})
        names = ["external_id:4711", "email:eva@example.org", "phone:+4930123456"]
        assert desk.memory.learned == [(names, "contact", "1", [])]
        assert desk.deliver("add_note", EVA | {"text": "x"}, id="d2").result["contact"] == "1"
    searches = [each for each in asked(server) if each in ("GET contacts", "GET party.party")]
    assert len(searches) == 2


@pytest.mark.parametrize(("age", "requests"), [(BELIEVED, ["PATCH 7"]), (BELIEVED + 1, ["GET 7", "PATCH 7"])])
def test_id_map_is_believed_for_ten_minutes(age: int, requests: list[str]) -> None:
    """Later the object is read, in place of a search, and what was seen is as good as new."""
    with RawServer(reply(200, '{"id": 7, "email": "eva@example.org"}')) as server:
        desk = Desk("rest", {"base": server.url})
        desk.memory.values["email:eva@example.org"] = "7"
        desk.memory.age(age)
        desk.deliver("upsert_contact", EVA | NAMED)
    assert asked(server) == requests
    assert desk.memory.ages == ({"email:eva@example.org": age} if age <= BELIEVED else {})


@every_vendor
@pytest.mark.parametrize("moved", [True, False])
def test_address_that_moved(vendor: FindVendor, moved: bool) -> None:
    """An address that a clerk gave to another contact, or a contact that is gone: forgotten, and searched."""
    first = vendor.one(vendor.contact(7, "ole@example.org")) if moved else reply(404)
    with RawServer(first, vendor.hits(vendor.contact(8, "eva@example.org")), reply(200, '{"id": 5}')) as server:
        desk = vendor.desk(server)
        desk.memory.values["email:eva@example.org"] = "7"
        desk.memory.age(BELIEVED + 1)
        assert desk.deliver("add_note", EVA | {"text": "Please call back."}).result["contact"] == "8"
    assert desk.memory.values == {"email:eva@example.org": "8"}


def test_nobody_is_asked_about_what_is_only_believed() -> None:
    """Before two objects wait for a person, what the id map says of them is looked at, however new it is."""
    with RawServer(reply(404), reply(200, '{"id": 15, "email": "eva@example.org", "external_id": "4711"}')) as server:
        desk = Desk("rest", {"base": server.url})
        desk.memory.values |= {"external_id:4711": "12", "email:eva@example.org": "15"}
        assert desk.deliver("upsert_contact", EVA | NUMBER | NAMED).result == {"id": "15", "created": False}
    assert asked(server) == ["GET 12", "GET 15", "PATCH 15"]
    assert desk.memory.values == {"external_id:4711": "15", "email:eva@example.org": "15"}


def test_contact_that_answers_for_another() -> None:
    """Where a vendor answers with the contact that the one was merged into, that one is written from then on."""
    with RawServer(reply(200, '{"id": 8, "email": "eva@example.org"}')) as server:
        desk = Desk("rest", {"base": server.url})
        desk.memory.values["email:eva@example.org"] = "7"
        desk.memory.age(BELIEVED + 1)
        assert desk.deliver("upsert_contact", EVA | NAMED).result == {"id": "8", "created": False}
    assert asked(server) == ["GET 7", "PATCH 8"]
    assert desk.memory.values == {"email:eva@example.org": "8"}


@pytest.mark.parametrize("successor", [8, {"id": 8}])
def test_party_that_was_merged(successor: Any) -> None:
    """A party that Tryton replaced by another is that one, known by it from then on."""
    tryton = FindVendor("tryton")
    old = tryton.contact(7, None, active=False, replaced_by=successor)
    new = tryton.contact(8, "eva@example.org", active=True, replaced_by=None)
    with RawServer(tryton.one(old), tryton.one(new), reply(200, '{"id": 5}')) as server:
        desk = tryton.desk(server)
        desk.memory.values["email:eva@example.org"] = "7"
        assert desk.deliver("add_note", EVA | {"text": "Please call back."}).result["contact"] == "8"
    assert asked(server) == ["GET 7", "GET 8", "POST ir.note"]
    assert desk.memory.values == {"email:eva@example.org": "8"}


@pytest.mark.parametrize("active", [False, 0])
def test_party_that_is_not_in_use(active: bool | int) -> None:
    """A party that a clerk has deactivated is forgotten and searched; a new one is made where there is none."""
    tryton = FindVendor("tryton")
    old = tryton.contact(7, "eva@example.org", active=active, replaced_by=None)
    with RawServer(tryton.one(old), tryton.hits(), tryton.one(tryton.contact(9, "eva@example.org"))) as server:
        desk = tryton.desk(server)
        desk.memory.values["email:eva@example.org"] = "7"
        assert desk.deliver("upsert_contact", EVA).result == {"id": "9", "created": True}
    assert desk.memory.values == {"email:eva@example.org": "9"}


def test_party_that_went_out_of_use_meanwhile() -> None:
    """A party that is gone between the search and the write is searched by the next attempt; it is no dead letter."""
    tryton = FindVendor("tryton")
    with RawServer(tryton.hits(tryton.contact(7, "eva@example.org")), reply(404)) as server:
        failed = tryton.desk(server).fail("upsert_contact", EVA | NAMED)
    assert (failed.failure, failed.code) == ("transient", "stale_id")


@every_vendor
def test_invoice_within_the_lag(vendor: FindVendor) -> None:
    """An invoice that their search does not show yet is known by its reference: it is made once."""
    arguments = {"reference": "SD-1", "customer": EVA, "lines": [{"text": "x", "unit_price": 1}]}
    one = {"id": 3, "reference": "SD-1", "state": "draft", "status": "draft", "number": None}
    with RawServer(vendor.one(one)) as server:
        desk = vendor.desk(server)
        desk.memory.values["invoice:SD-1"] = "3"
        done = desk.deliver("create_invoice", arguments)
    assert (done.note, done.result["id"]) == ("already_there", "3")
    assert asked(server) == ["GET 3"]


def test_create_invoice_writes_the_id_map(sandbox: Running) -> None:
    """Invoice and customer are known at once, though the search lags; a deleted draft is forgotten."""
    auth = {"bearer": sandbox.world.accounts.invoicing_token}
    desk = Desk("rest", {"base": sandbox.base("invoicing"), "auth": auth})
    sandbox.world.tell("invoicing", {"find_lag": 60})
    arguments = {"reference": "SD-1", "customer": EVA, "lines": [{"text": "x", "unit_price": 1}]}
    for n in range(2):
        desk.deliver("create_invoice", arguments, id=f"d{n}")
    desk.deliver("create_invoice", arguments | {"reference": "SD-2"}, id="d3")
    assert [each["reference"] for each in sandbox.world.invoicing.invoices.all()] == ["SD-1", "SD-2"]
    assert len(sandbox.world.invoicing.customers.all()) == 1
    assert desk.deliver("cancel_invoice", {"reference": "SD-1", "customer": EVA}, id="d4").note == "draft_deleted"
    assert "invoice:SD-1" not in desk.memory.values


def test_contact_and_customer_are_two(sandbox: Running) -> None:
    """A destination with contacts and customers keeps the ids of both apart, though one person is both."""
    with RawServer(reply(200, '{"data": []}')) as server:
        desk = Desk("rest", {"base": server.url})
        desk.memory.values["email:eva@example.org"] = "7"
        server.script[:] = [reply(200, '{"data": []}')] * 2 + [reply(201, '{"id": 5}'), reply(201, '{"id": 6}')]
        desk.deliver(
            "create_invoice", {"reference": "SD-1", "customer": EVA, "lines": [{"text": "x", "unit_price": 1}]}
        )
    assert server.requests[-1].json()["customer_id"] == 5
    assert desk.memory.values["email:eva@example.org"] == "7"


def test_invoice_that_was_cancelled_and_made_again(sandbox: Running) -> None:
    """Of several invoices with one reference the one that is not cancelled is meant."""
    found = reply(
        200,
        '{"data": [{"id": 1, "reference": "SD-1", "status": "canceled"},'
        ' {"id": 2, "reference": "SD-1", "status": "draft"}]}',
    )
    arguments = {"reference": "SD-1", "customer": EVA, "lines": [{"text": "x", "unit_price": 1}]}
    with RawServer(found) as server:
        assert Desk("rest", {"base": server.url}).deliver("create_invoice", arguments).result["id"] == "2"


# 409


@pytest.mark.parametrize("unique", ["plain", "id"])
@pytest.mark.parametrize("vendor", ["crm", "invoicing"])
def test_d6a_exists_although_not_found(sandbox: Running, vendor: str, unique: str) -> None:
    """A create that is refused as a double is searched again after the lag, or found by the id that they name."""
    account = {"crm": sandbox.world.accounts.crm_token, "invoicing": sandbox.world.accounts.invoicing_token}[vendor]
    named = {"conflict_id": "error.id"} if unique == "id" else {}
    options = {"find_lag": 30, "contacts": named, "customers": named, "invoices": named}
    desk = Desk("rest", {"base": sandbox.base(vendor), "auth": {"bearer": account}} | options)
    arguments: dict[str, Any] = EVA | NAMED
    if vendor == "crm":
        action, table = "upsert_contact", sandbox.world.crm.contacts
        table.add(EVA)
    else:
        lines = [{"text": "x", "unit_price": 1}]
        action, arguments = "create_invoice", {"reference": "SD-1", "customer": EVA, "lines": lines}
        table = sandbox.world.invoicing.invoices
        customer = sandbox.world.invoicing.customers.add(EVA)
        table.add({"type": "invoice", "status": "draft", "reference": "SD-1", "customer_id": customer["id"]})
    sandbox.world.tell(vendor, {"find_lag": 60, "unique": unique})
    if unique == "id":
        assert desk.deliver(action, arguments).result["created"] is False
    else:
        failed = desk.fail(action, arguments)
        assert (failed.failure, failed.code, failed.wait) == ("transient", "exists_already", 30)
        assert destination_health(failed) == ""
        sandbox.world.tell(vendor, {"find_lag": 0})
        assert desk.deliver(action, arguments, attempt=2).result["created"] is False
    assert len(table.all()) == 1
    if vendor == "crm":
        assert table.all()[0]["first_name"] == "Eva"


def test_conflict_about_somebody_else() -> None:
    """The object that a refusal names is taken only if it has the name, too: another field may be the double one."""
    refusal = reply(409, '{"error": {"id": 8}}')
    other = reply(200, '{"id": 8, "email": "ole@example.org"}')
    with RawServer(reply(200, '{"data": []}'), refusal, other) as server:
        desk = Desk("rest", {"base": server.url, "contacts": {"conflict_id": "error.id"}})
        assert desk.fail("upsert_contact", EVA | NAMED).code == "exists_already"
    assert asked(server) == ["GET contacts", "POST contacts", "GET 8"]


NOTHING, REFUSED = reply(200, '{"data": []}'), reply(409, "{}")
BILL = {"reference": "SD-1", "customer": EVA, "lines": [{"text": "x", "unit_price": 1}]}
REFERENCE = {"invoice": 1, "external_id": "x"}
CREATES: Sequence[tuple[str, str, Mapping[str, Any], list[bytes]]] = [
    ("rest", "create_invoice", BILL, [NOTHING, NOTHING, REFUSED]),  # the customer
    ("tryton", "create_invoice", BILL, [reply(200, "[]"), reply(200, "[]"), REFUSED]),  # the customer
    ("seminardesk", "add_external_reference", REFERENCE, [REFUSED, reply(200, '{"id": 1}')]),
    ("rest", "upsert_contact", EVA, [reply(200, '{"data": []}'), reply(409, "{}")]),
    ("rest", "add_note", EVA | {"text": "x"}, [reply(200, '{"data": []}'), reply(409, "{}")]),
    ("tryton", "upsert_contact", EVA, [reply(200, "[]"), reply(409, "{}")]),
    ("tryton", "add_note", EVA | {"text": "x"}, [reply(200, "[]"), reply(409, "{}")]),
    ("maileon", "subscribe", EVA | {"consent": {"newsletter": True}}, [reply(404), reply(409, "{}")]),
]


@pytest.mark.parametrize(("kind", "action", "arguments", "script"), CREATES)
def test_d6a_exists_unseen(kind: str, action: str, arguments: Mapping[str, Any], script: list[bytes]) -> None:
    """D6a: what they say exists and never show is searched again; after the third time a person looks."""
    own = {"tryton": {"database": "shop", "key": "k"}, "rest": {}}.get(kind, {"api_key": "k"})
    with RawServer(*script * 4) as server:
        desk = Desk(kind, {"base": server.url} | own)
        failed = [desk.fail(action, arguments) for _ in range(4)]
    assert [each.code for each in failed] == ["exists_already", "exists_already", "exists_unseen", "exists_already"]
    assert failed[0].wait == 1
    assert decide(failed[2], 3) == HoldBox("exists_unseen")
    assert "exists_unseen" in HELD


def test_d6a_reference_that_is_there_already() -> None:
    """D6a: a reference that SeminarDesk refuses as a double is done, if the invoice shows it."""
    shown = '{"id": 1, "externalReferences": [{"id": 9, "system": {"id": 1}, "externalId": "x"}]}'
    with RawServer(REFUSED, reply(200, shown)) as server:
        done = Desk("seminardesk", {"base": server.url, "api_key": "k"}).deliver("add_external_reference", REFERENCE)
    assert (done.result, done.note) == ({"id": 9}, "already_there")


# Done means shown (D17b to D17g)

LINES = [{"text": "x", "unit_price": 1}]
INVOICE = {"reference": "SD-1", "customer": EVA, "lines": LINES}
SUBSCRIBE = EVA | {"consent": {"newsletter": True}}
EMPTY, NONE = reply(200, '{"data": []}'), reply(200, "[]")
ONE = reply(200, '{"data": [{"id": 1, "email": "eva@example.org", "reference": "SD-1", "status": "draft"}]}')
FINAL = reply(200, '{"data": [{"id": 1, "reference": "SD-1", "status": "final"}]}')
PARTY = reply(200, json.dumps([FindVendor("tryton").contact(1, "eva@example.org")]))
DRAFT = reply(200, '[{"id": 1, "reference": "SD-1", "state": "draft"}]')
DRAFT_SHOWN = reply(200, '{"id": 1, "reference": "SD-1", "state": "draft", "number": null}')
POSTED = reply(200, '[{"id": 1, "reference": "SD-1", "state": "posted"}]')
NEGATIVE = reply(200, '[{"id": 2, "reference": "SD-1/C", "state": "draft"}]')


def doubt(kind: str, action: str) -> str:
    """Return what an answer that cannot be read is, by what the action is declared to be."""
    return "ambiguous" if DESTINATIONS[kind].kind.actions[action].creates else "transient"


LABEL = EVA | {"label": "VIP"}
BOOKED = reply(200, "<transaction_type><name>booked</name></transaction_type>")
LEAD = EVA | {"reference": "SD-1", "title": "x"}
CREDIT = {"reference": "G-1", "invoice": "SD-1", "customer": EVA}
PAID = {"reference": "P-1", "invoice": "SD-1", "amount": 1}
PLAIN, LABELLED = reply(200, '{"id": 1, "categories": []}'), reply(200, '{"id": 1, "categories": [5]}')
CREDITED = reply(200, json.dumps({"id": 1, "lines": []} | dict.fromkeys(REPEATED, 1)))
PENDING = reply(200, '{"id": 1, "status": "PENDING"}')
PAYMENT = {"invoice": 1, "reference": "P-1", "amount": 1, "method": "CARD", "paid_on": "2026-11-28"}
ACTIVITY = {"profile": 1, "activity_type": 3, "title": "x", "begin": "2026-11-28T10:00:00Z"}
WRITES: Sequence[tuple[str, str, Mapping[str, Any], list[bytes], str]] = [
    ("rest", "upsert_contact", EVA, [EMPTY], "ambiguous"),
    ("rest", "upsert_contact", EVA | NAMED, [ONE], "transient"),
    ("rest", "set_consent", EVA | {"newsletter": False}, [ONE], "transient"),
    ("rest", "add_note", EVA | {"text": "x"}, [EMPTY], "ambiguous"),
    ("rest", "add_note", EVA | {"text": "x"}, [ONE], "ambiguous"),
    ("rest", "create_invoice", INVOICE, [EMPTY, EMPTY], "ambiguous"),
    ("rest", "create_invoice", INVOICE, [EMPTY, ONE], "ambiguous"),
    ("rest", "cancel_invoice", INVOICE, [ONE], "transient"),
    ("rest", "cancel_invoice", INVOICE, [FINAL], "ambiguous"),
    ("tryton", "upsert_contact", EVA, [NONE], "ambiguous"),
    ("tryton", "upsert_contact", EVA | NAMED, [PARTY], "transient"),
    ("tryton", "add_note", EVA | {"text": "x"}, [PARTY], "ambiguous"),
    ("tryton", "create_invoice", INVOICE, [NONE, NONE], "ambiguous"),
    ("tryton", "cancel_invoice", INVOICE, [DRAFT], "transient"),
    ("maileon", "subscribe", SUBSCRIBE, [], "transient"),
    ("maileon", "subscribe", SUBSCRIBE, [reply(404)], "ambiguous"),
    ("maileon", "update", EVA | {"fields": {"CITY": "Ulm"}}, [], "transient"),
    ("maileon", "unsubscribe", EVA, [], "transient"),
    ("seminardesk", "add_external_reference", {"invoice": 1, "external_id": "x"}, [], "ambiguous"),
    *(("seminardesk", look_up, {"id": 1}, [], "transient") for look_up in ("person", "profile", "booking")),
    *(
        (kind, action, arguments, list(BEFORE_WRITING.get((kind, action), ())), doubt(kind, action))
        for kind in ("activetrail", "etracker", "hubspot", "lexware", "pipedrive")
        for action, arguments in EXAMPLES[kind][1].items()
    ),
    *(
        ("seminardesk", look_up, {"id": 1}, [], "transient")
        for look_up in ("person", "profile", "organisation", "booking", "guests", "event", "date", "invoice")
    ),
    ("maileon", "resend_opt_in", SUBSCRIBE, [], "transient"),
    ("maileon", "resend_opt_in", SUBSCRIBE, [reply(200, "<contact><id>1</id></contact>")], "ambiguous"),
    ("maileon", "send_transaction", EVA | {"type": "booked"}, [], "transient"),
    ("maileon", "send_transaction", EVA | {"type": "booked"}, [BOOKED], "ambiguous"),
    ("rest", "add_label", LABEL, [ONE, reply(200, '{"id": 1, "labels": []}')], "transient"),
    ("rest", "remove_label", LABEL, [ONE, reply(200, '{"id": 1, "labels": ["VIP"]}')], "transient"),
    ("rest", "add_task", EVA | {"subject": "x"}, [ONE], "ambiguous"),
    ("rest", "create_lead", LEAD, [EMPTY, EMPTY], "ambiguous"),
    ("rest", "create_lead", LEAD, [EMPTY, ONE], "ambiguous"),
    ("rest", "move_deal", {"reference": "SD-1", "stage": "won"}, [ONE], "transient"),
    ("rest", "contact", EVA, [], "transient"),
    ("rest", "upsert_customer", EVA, [EMPTY], "ambiguous"),
    ("rest", "upsert_customer", EVA | {"name": "Eva"}, [ONE], "transient"),
    ("rest", "create_credit_note", CREDIT, [EMPTY, FINAL, ONE], "ambiguous"),
    ("rest", "record_payment", PAID, [FINAL, EMPTY], "ambiguous"),
    ("rest", "invoice_status", {"reference": "SD-1"}, [], "transient"),
    ("tryton", "add_label", LABEL, [PARTY, reply(200, '[{"id": 5}]'), PLAIN], "transient"),
    ("tryton", "remove_label", LABEL, [PARTY, reply(200, '[{"id": 5}]'), LABELLED], "transient"),
    ("tryton", "contact", EVA, [], "transient"),
    ("tryton", "upsert_customer", EVA, [NONE], "ambiguous"),
    ("tryton", "upsert_customer", EVA | {"name": "Eva"}, [PARTY], "transient"),
    ("tryton", "create_credit_note", CREDIT, [NONE, POSTED, CREDITED], "ambiguous"),
    ("tryton", "invoice_status", {"reference": "SD-1"}, [], "transient"),
    ("seminardesk", "set_booking_status", {"booking": 1, "status": "confirmed"}, [PENDING], "transient"),
    ("seminardesk", "add_payment", PAYMENT, [reply(200, '{"id": 1, "currentPaymentAmount": 0}')], "ambiguous"),
    ("seminardesk", "add_activity", ACTIVITY, [], "ambiguous"),
    ("seminardesk", "set_additional_field", {"profile": 1, "field": 2, "value": "x"}, [], "transient"),
]


NO_SUCCESS = {
    "page": PAGE,
    "text": TEXT,
    "piece of a page": reply(200, "<h1>Maintenance</h1><p>Back soon.</p>", "text/html"),
    "page that calls itself JSON": reply(200, "<!-- x --><html></html>"),
    "page that calls itself XML": reply(200, "<?xml version='1.0'?><html></html>", "application/xml"),
    "cut JSON": reply(200, '{"id": 1, "email": "eva@'),
    "cut XML": reply(200, "<contact><id>1</id><em", "application/xml"),
    "two JSON": reply(200, "{}{}"),
    "XML error": reply(200, "<error><message>no</message></error>", "application/xml"),
    "not UTF-8": reply(200, b"\xff\xfe\x00"),
    "success false": reply(200, '{"success": false, "message": "try later"}'),
    "ok false": reply(200, '{"ok": false}'),
    "error": reply(200, '{"error": {"code": 17}}'),
    "errors": reply(200, '{"data": [], "errors": ["try later"]}'),
    "created error": reply(201, '{"errors": {"base": "busy"}}'),
}


@pytest.mark.parametrize("answer", NO_SUCCESS.values(), ids=NO_SUCCESS)
@pytest.mark.parametrize(("kind", "action", "arguments", "before", "failure"), WRITES)
def test_d17_page_is_no_success(
    kind: str, action: str, arguments: Mapping[str, Any], before: list[bytes], failure: str, answer: bytes
) -> None:
    """A page, half an answer or one that says error is no success anywhere: in doubt after a create, else transient."""
    keys = {"tryton": {"database": "shop", "key": "k"}, "rest": {}}
    keys |= {each: dict(EXAMPLES[each][0]) for each in ("activetrail", "etracker", "hubspot", "lexware", "pipedrive")}
    if action == "cancel_invoice":
        arguments = {name: value for name, value in arguments.items() if name != "lines"}
    with RawServer(*before, answer) as server:
        desk = Desk(kind, {"base": server.url} | keys.get(kind, {"api_key": "k"}))
        desk.memory.values |= KNOWN.get(kind, {})
        failed = desk.fail(action, arguments)
    assert (failed.failure, failed.status // 100) == (failure, 2)
    assert failed.code in ("bad_answer", "error_in_body")


def test_every_write_is_among_them() -> None:
    """Whatever a destination can do is tried with such answers, but for messages: any 2xx says that one was taken."""
    told = {("mail", "send"), ("webhook", "send"), *((kind, action) for kind, action, *_ in WRITES)}
    every = {(kind, action) for kind, each in DESTINATIONS.items() for action in each.kind.actions}
    assert told == every


@pytest.mark.parametrize("answer", [reply(204), reply(200, ""), reply(200, "null"), reply(200, '{"ok": true}')])
def test_json_or_nothing_is_success(answer: bytes) -> None:
    """An update is done if JSON comes back, or no body at all."""
    with RawServer(ONE, answer) as server:
        assert Desk("rest", {"base": server.url}).deliver("upsert_contact", EVA | NAMED).result["created"] is False


@pytest.mark.parametrize(
    ("answer", "shown", "requests"),
    [
        (reply(200, '{"newsletter": false}'), b"", 2),
        (reply(200, '{"newsletter": "False"}'), b"", 2),
        (reply(204), reply(200, '{"id": 1, "newsletter": 0}'), 3),
        (reply(200, '{"newsletter": true}'), reply(200, '{"id": 1, "newsletter": false}'), 3),
    ],
)
def test_consent_is_in_force(answer: bytes, shown: bytes, requests: int) -> None:
    """A consent is written if the answer shows it, or the contact does when it is read."""
    with RawServer(ONE, answer, shown) as server:
        Desk("rest", {"base": server.url}).deliver("set_consent", EVA | {"newsletter": False})
    assert len(server.requests) == requests


@pytest.mark.parametrize("shown", ['{"id": 1, "newsletter": true}', '{"id": 1, "newsletter": null}', '{"id": 1}'])
def test_consent_that_is_not_in_force(shown: str) -> None:
    """A contact that does not show it has not got it: tried again, and no sign that the vendor is down."""
    with RawServer(ONE, reply(204), reply(200, shown)) as server:
        failed = Desk("rest", {"base": server.url}).fail("set_consent", EVA | {"newsletter": False})
    assert (failed.failure, failed.code) == ("transient", "not_in_force")
    assert destination_health(failed) == ""


def test_unsubscription_that_is_not_in_force(sandbox: Running) -> None:
    """Maileon takes it and does it later: it counts when the permission is gone, whatever the status says."""
    desk = Desk("maileon", {"base": sandbox.base("maileon"), "api_key": sandbox.world.accounts.maileon_api_key})
    desk.deliver("subscribe", SUBSCRIBE)
    sandbox.world.maileon.confirm("eva@example.org")
    sandbox.world.tell("maileon", {"unsubscribe_lag": 60})
    assert desk.fail("unsubscribe", EVA).code == "not_in_force"
    sandbox.world.tell("maileon", {"unsubscribe_lag": 0})
    assert desk.deliver("unsubscribe", EVA, attempt=2).note == ""
    assert sandbox.world.maileon.holds()["contacts"] == []


def test_opt_in_without_an_id() -> None:
    """A sign-up whose answer names no id counts if the contact is there, else it is in doubt."""
    there = reply(200, "<contact><id>7</id><email>Eva@Example.org</email><permission>1</permission></contact>")
    for shown, ends in ((there, "7"), (reply(404), "no_id")):
        with RawServer(reply(404), reply(201), shown) as server:
            desk = Desk("maileon", {"base": server.url, "api_key": "k"})
            if ends == "7":
                assert desk.deliver("subscribe", SUBSCRIBE).result == {"id": "7"}
            else:
                failed = desk.fail("subscribe", SUBSCRIBE)
                assert (failed.failure, failed.code) == ("ambiguous", ends)


def test_contact_of_another_address() -> None:
    """Maileon answers with the contact that was asked for, or nothing is done."""
    other = reply(200, "<contact><id>7</id><email>ole@example.org</email><permission>5</permission></contact>")
    with RawServer(other) as server:
        failed = Desk("maileon", {"base": server.url, "api_key": "k"}).fail("subscribe", SUBSCRIBE)
    assert (failed.failure, failed.code) == ("transient", "bad_answer")


def test_renamed_contact_in_maileon(sandbox: Running) -> None:
    """A rename to an address of another contact waits for a person; one that was done before is done."""
    desk = Desk("maileon", {"base": sandbox.base("maileon"), "api_key": sandbox.world.accounts.maileon_api_key})
    desk.deliver("subscribe", SUBSCRIBE)
    rename = EVA | {"new_email": "neu@example.org", "fields": {"CITY": "Ulm"}}
    desk.deliver("update", rename, id="d2")
    desk.deliver("update", rename, id="d2", attempt=2)
    assert [each["email"] for each in sandbox.world.maileon.holds()["contacts"]] == ["neu@example.org"]
    assert desk.memory.values["it:opt_in:neu@example.org"].startswith("pending ")
    desk.deliver("subscribe", SUBSCRIBE, id="d3")
    failed = desk.fail("update", rename, id="d4")
    assert (failed.code, "example.org" in failed.hint) == ("two_objects", False)


#: What is answered to the search and to finalising; what the invoice then shows, and whether that is in force.
FINALISED: Sequence[tuple[str, Sequence[bytes], bytes, bool]] = [
    ("rest", [ONE, reply(200, '{"id": 1, "status": "final"}')], b"", True),
    ("rest", [ONE, reply(200, '{"data": {"id": 1, "status": "final"}}')], b"", True),
    ("rest", [ONE, reply(204)], reply(200, '{"id": 1, "status": "final"}'), True),
    ("rest", [ONE, reply(204)], reply(405), True),  # nobody can tell
    ("rest", [ONE, reply(204)], reply(200, '{"id": 1, "status": "draft"}'), False),
    ("rest", [ONE, reply(200, '{"id": 1, "status": "draft"}')], reply(200, '{"id": 1, "status": "draft"}'), False),
    ("rest", [ONE, reply(200, '{"id": 1, "status": "draft"}')], reply(200, '{"id": 1, "status": "final"}'), True),
    ("tryton", [DRAFT, reply(200, '{"id": 1, "state": "posted", "number": "7"}')], b"", True),
    ("tryton", [DRAFT, reply(200, '{"id": 1, "state": "draft", "number": null}')], DRAFT_SHOWN, False),
]


@pytest.mark.parametrize(("kind", "before", "shown", "in_force"), FINALISED)
def test_final_invoice_is_in_force(kind: str, before: Sequence[bytes], shown: bytes, in_force: bool) -> None:
    """An invoice is final if the answer shows it, or the invoice does when it is read; else it is tried again."""
    options: dict[str, Any] = {"invoices": {"finalise": True}}
    if kind == "tryton":
        options = {"database": "shop", "key": "k", "invoices": {"post": True}}
    with RawServer(*before, shown) as server:
        desk = Desk(kind, {"base": server.url, **options})
        if in_force:
            assert desk.deliver("create_invoice", INVOICE).result["id"] == "1"
        else:
            failed = desk.fail("create_invoice", INVOICE)
            assert (failed.failure, failed.code) == ("transient", "not_in_force")
            assert not [key for key in desk.memory.values if "finalised" in key]
    assert len(server.requests) == len(before) + bool(shown)


@pytest.mark.parametrize("answer", [reply(204), reply(200, ""), reply(201, '{"ok": true}')])
def test_note_without_an_id_is_written(answer: bytes) -> None:
    """A note whose answer is empty or JSON without an id is written: nobody can search it."""
    with RawServer(ONE, answer) as server:
        done = Desk("rest", {"base": server.url}).deliver("add_note", EVA | {"text": "called"})
    assert done.result == {"contact": "1"}


# The whole


@pytest.mark.parametrize("settings", [{"fuzzy": True}, {"fuzzy": True, "hidden": ["email"]}, {"find_lag": 60}])
def test_twenty_people_at_a_bad_search(sandbox: Running, settings: dict[str, Any]) -> None:
    """Whatever the search is like, each person is one contact and nobody gets what is another's."""
    desk = Desk("rest", {"base": sandbox.base("crm"), "auth": {"bearer": sandbox.world.accounts.crm_token}})
    sandbox.world.tell("crm", settings)
    people = [{"email": f"eva@{name}.example", "external_id": str(n)} for n, name in enumerate("abc")]
    for n, person in enumerate(people):
        desk.deliver("upsert_contact", person | {"first_name": str(n)}, id=f"a{n}")
    if "find_lag" not in settings:
        desk.memory.values.clear()
    for n, person in enumerate(people):
        desk.deliver("upsert_contact", {"email": person["email"], "last_name": str(n)}, id=f"b{n}")
    shown = [(each["email"], each["first_name"], each["last_name"]) for each in sandbox.world.crm.contacts.all()]
    assert shown == [(person["email"], str(n), str(n)) for n, person in enumerate(people)]


def crm(sandbox: Running, **options: Any) -> Desk:
    """Return the CRM of the sandbox, as a book points at it."""
    return Desk("rest", {"base": sandbox.base("crm"), "auth": {"bearer": sandbox.world.accounts.crm_token}, **options})


def maileon(sandbox: Running, **options: Any) -> Desk:
    """Return the Maileon of the sandbox."""
    key = sandbox.world.accounts.maileon_api_key
    return Desk("maileon", {"base": sandbox.base("maileon"), "api_key": key, **options})


def answer_a_page(sandbox: Running, vendor: str, method: str) -> None:
    """Let the next such request end at somebody who answers 200 and a page, and does nothing."""
    order(sandbox, vendor=vendor, method=method, status=200, body="<html>Back soon</html>", content_type="text/html")


def test_d17b_page_at_an_update(sandbox: Running) -> None:
    """D17b: a contact whose update was answered with a page is written by the next attempt."""
    sandbox.world.crm.contacts.add(EVA)
    answer_a_page(sandbox, "crm", "PATCH")
    assert crm(sandbox).fail("upsert_contact", EVA | NAMED).failure == "transient"
    crm(sandbox).deliver("upsert_contact", EVA | NAMED, attempt=2)
    assert [each["last_name"] for each in sandbox.world.crm.contacts.all()] == ["Muster"]


def test_d17c_page_at_a_note(sandbox: Running) -> None:
    """D17c: a note that was answered with a page may be there or not, and is told so."""
    sandbox.world.crm.contacts.add(EVA)
    answer_a_page(sandbox, "crm", "POST")
    failed = crm(sandbox).fail("add_note", EVA | {"text": "called"})
    assert (failed.failure, failed.code) == ("ambiguous", "bad_answer")


def test_d17d_page_at_a_sign_up(sandbox: Running) -> None:
    """D17d: a sign-up that was answered with a page is made by the next attempt, which finds nobody; one mail goes."""
    answer_a_page(sandbox, "maileon", "POST")
    assert maileon(sandbox).fail("subscribe", SUBSCRIBE).failure == "ambiguous"
    maileon(sandbox).deliver("subscribe", SUBSCRIBE, attempt=2, doubtful=True)
    assert len(sandbox.world.maileon.holds()["contacts"]) == len(sandbox.world.maileon.mailbox) == 1


def test_d17e_page_at_an_opt_out(sandbox: Running) -> None:
    """D17e: an unsubscription and a withdrawn consent that were answered with a page are in force after the next."""
    maileon(sandbox).deliver("subscribe", SUBSCRIBE)
    sandbox.world.maileon.confirm("eva@example.org")
    sandbox.world.tell("maileon", {"unsubscribe_lag": 0})
    answer_a_page(sandbox, "maileon", "DELETE")
    assert maileon(sandbox).fail("unsubscribe", EVA).failure == "transient"
    maileon(sandbox).deliver("unsubscribe", EVA, attempt=2)
    assert sandbox.world.maileon.holds()["contacts"] == []
    sandbox.world.crm.contacts.add(EVA | {"newsletter": True})
    answer_a_page(sandbox, "crm", "PATCH")
    assert crm(sandbox).fail("set_consent", EVA | {"newsletter": False}).failure == "transient"
    crm(sandbox).deliver("set_consent", EVA | {"newsletter": False}, attempt=2)
    assert [each["newsletter"] for each in sandbox.world.crm.contacts.all()] == [False]


def test_d17g_rule_about_pages(sandbox: Running) -> None:
    """D17g: a book that says the same of pages by a rule of its own may keep that rule."""
    sandbox.world.crm.contacts.add(EVA)
    answer_a_page(sandbox, "crm", "PATCH")
    desk = crm(sandbox, errors=[{"content_type": "text/html", "is": "transient"}])
    assert desk.fail("upsert_contact", EVA | NAMED).failure == "transient"
    assert desk.deliver("upsert_contact", EVA | NAMED, attempt=2).result["created"] is False


def test_null_field_is_no_match(sandbox: Running) -> None:
    """A search whose hits show the field as null finds nobody, even if it says that it has found somebody."""
    desk = Desk("rest", {"base": sandbox.base("crm"), "auth": {"bearer": sandbox.world.accounts.crm_token}})
    sandbox.world.tell("crm", {"null": ["email"]})
    sandbox.world.crm.contacts.add(EVA)
    assert desk.deliver("upsert_contact", EVA).result["created"] is True


def test_login_page_instead_of_an_answer(sandbox: Running) -> None:
    """A create that was answered with a page was done or not: the next attempt finds it."""
    desk = Desk("rest", {"base": sandbox.base("crm"), "auth": {"bearer": sandbox.world.accounts.crm_token}})
    order(sandbox, vendor="crm", method="POST", status=200, body="<html>Hello</html>", after_effect=True)
    assert desk.fail("upsert_contact", EVA).failure == "ambiguous"
    assert desk.deliver("upsert_contact", EVA, attempt=2).result["created"] is False
    assert len(sandbox.world.crm.contacts.all()) == 1


CANCEL = {"reference": "SD-1", "customer": EVA}
#: What is answered to the search and the write; what the invoice then shows, and whether that is in force.
CANCELLATIONS: Sequence[tuple[str, Sequence[bytes], bytes, bool]] = [
    ("rest", [FINAL, reply(200, '{"id": 1, "status": "canceled"}')], b"", True),
    ("rest", [FINAL, reply(201, '{"id": 2, "status": "final"}')], reply(200, '{"id": 1, "status": "canceled"}'), True),
    ("rest", [FINAL, reply(204)], reply(404), True),
    ("rest", [FINAL, reply(204)], reply(200, '{"id": 1, "status": "final"}'), False),
    ("rest", [FINAL, reply(201, '{"id": 2, "status": "canceled"}')], reply(200, '{"id": 1, "status": "final"}'), False),
    ("rest", [FINAL, reply(200, '{"ok": true}')], reply(200, '{"id": 1}'), False),
    ("rest", [ONE, reply(204)], reply(404), True),
    ("rest", [ONE, reply(204)], reply(200, '{"id": 1, "status": "deleted"}'), True),
    ("rest", [ONE, reply(204)], reply(200, '{"id": 1, "status": "draft"}'), False),
    ("tryton", [DRAFT, reply(204)], reply(404), True),
    ("tryton", [DRAFT, reply(204)], reply(200, '{"id": 1, "state": "draft"}'), False),
    ("tryton", [POSTED, NEGATIVE, reply(200, '{"id": 2, "state": "posted"}')], b"", True),
    ("tryton", [POSTED, NEGATIVE, reply(200, '{"id": 2, "state": ""}')], reply(200, '{"id": 2, "state": ""}'), False),
]


@pytest.mark.parametrize(("kind", "before", "shown", "in_force"), CANCELLATIONS)
def test_cancellation_is_in_force(kind: str, before: Sequence[bytes], shown: bytes, in_force: bool) -> None:
    """An invoice is cancelled if the answer shows it, or the invoice does when it is read; else it is tried again."""
    keys = {"tryton": {"database": "shop", "key": "k"}}.get(kind, {})
    with RawServer(*before, shown) as server:
        desk = Desk(kind, {"base": server.url, **keys})
        if in_force:
            assert desk.deliver("cancel_invoice", CANCEL).result["id"] == "1"
        else:
            failed = desk.fail("cancel_invoice", CANCEL)
            assert (failed.failure, failed.code) == ("transient", "not_in_force")
    assert len(server.requests) == len(before) + bool(shown)
