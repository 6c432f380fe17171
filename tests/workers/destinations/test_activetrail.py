from typing import Any

import pytest
from pydantic import ValidationError

from sandbox.server import Running
from tests.workers.destinations.conftest import Desk, order
from tests.workers.wire import RawServer, reply

EVA = {"email": "eva@example.org"}
IN_GROUP = EVA | {"group": "Newsletter"}
AGREED = EVA | {"consent": {"newsletter": True}}


@pytest.fixture
def desk(sandbox: Running) -> Desk:
    """An account with one empty group, Newsletter."""
    key = sandbox.world.accounts.activetrail_api_key
    return Desk("activetrail", {"base": sandbox.base("activetrail"), "api_key": key})


def contacts(sandbox: Running) -> list[dict[str, Any]]:
    """What ActiveTrail has."""
    return list(sandbox.world.activetrail.contacts.values())


def members(sandbox: Running) -> list[int]:
    """Who is in the group Newsletter."""
    return sorted(sandbox.world.activetrail.members.get(501, ()))


def other(sandbox: Running) -> Desk:
    """The same account, from a Relais that remembers nothing."""
    key = sandbox.world.accounts.activetrail_api_key
    return Desk("activetrail", {"base": sandbox.base("activetrail"), "api_key": key})


def test_upsert(desk: Desk, sandbox: Running) -> None:
    """A contact is made, and found again; its fields have the names of ActiveTrail."""
    told = EVA | {
        "first_name": "Eva",
        "phone": "+4930123456",
        "address": {"street": "Weg 1", "city": "Ulm", "postal_code": "89073"},
        "custom": {"ext1": "north", "num1": 7},
    }
    made = desk.deliver("upsert_contact", told).result
    again = other(sandbox).deliver("upsert_contact", EVA | {"first_name": "Ewa"}, id="d2").result
    assert (made["created"], again) == (True, {"id": made["id"], "created": False})
    (contact,) = contacts(sandbox)
    assert contact | {"id": 0} == {
        "id": 0,
        "email": "eva@example.org",
        "first_name": "Ewa",
        "phone1": "+4930123456",
        "street": "Weg 1",
        "city": "Ulm",
        "zip_code": "89073",
        "ext1": "north",
        "num1": 7,
        "status": "None",
    }


def test_search_finds_more(desk: Desk, sandbox: Running) -> None:
    """Their search finds pieces; another person with a longer address is not taken for the one."""
    sandbox.world.activetrail.tell(
        {"contacts": [{"id": 7, "email": "eva@example.org.uk", "state": "ACTIVE", "changed": "2026-11-28"}]}
    )
    assert desk.deliver("upsert_contact", EVA).result["created"] is True
    assert len(contacts(sandbox)) == 2


def test_rename(desk: Desk, sandbox: Running) -> None:
    """A new address replaces the old one at the same contact, which is known by it from then on."""
    made = desk.deliver("upsert_contact", EVA).result["id"]
    done = desk.deliver("upsert_contact", EVA | {"new_email": "ewa@example.org"}, id="d2").result
    assert done == {"id": made, "created": False}
    assert [contact["email"] for contact in contacts(sandbox)] == ["ewa@example.org"]
    assert desk.deliver("upsert_contact", EVA, id="d3").result["created"] is True


def test_two_contacts(desk: Desk, sandbox: Running) -> None:
    """Old and new address at two contacts: nothing is written, a person looks."""
    for email in ("eva@example.org", "ewa@example.org"):
        desk.deliver("upsert_contact", {"email": email})
    failed = desk.fail("upsert_contact", EVA | {"new_email": "ewa@example.org"})
    assert failed.code == "two_objects"


@pytest.mark.parametrize("action", ["upsert_contact", "subscribe"])
def test_lost_answer_makes_one_contact(desk: Desk, sandbox: Running, action: str) -> None:
    """What was made and not answered is found again."""
    order(sandbox, vendor="activetrail", method="POST", status=500, after_effect=True)
    assert desk.fail(action, AGREED if action == "subscribe" else EVA).failure == "ambiguous"
    desk.deliver(action, AGREED if action == "subscribe" else EVA, attempt=2)
    assert len(contacts(sandbox)) == 1


def test_search_lags(desk: Desk, sandbox: Running) -> None:
    """A contact that their search does not show yet is known to whoever made it."""
    sandbox.world.activetrail.tell({"find_lag": 60})
    made = desk.deliver("upsert_contact", EVA).result["id"]
    assert desk.deliver("add_to_group", IN_GROUP, id="d2").result == {"id": made}
    sandbox.world.activetrail.tell({"find_lag": 0})


def test_subscribe_and_unsubscribe(desk: Desk, sandbox: Running) -> None:
    """A subscription is a status, and leaving is another; both are shown afterwards."""
    desk.deliver("subscribe", AGREED | {"first_name": "Eva"})
    assert [(one["status"], one["first_name"]) for one in contacts(sandbox)] == [("Subscribed", "Eva")]
    desk.deliver("unsubscribe", EVA, id="d2")
    desk.deliver("unsubscribe", EVA, id="d3")
    assert [one["status"] for one in contacts(sandbox)] == ["Unsubscribed"]


def test_words_are_options(sandbox: Running) -> None:
    """An account whose API wants numbers gets them."""
    options = {
        "base": sandbox.base("activetrail"),
        "api_key": sandbox.world.accounts.activetrail_api_key,
        "statuses": {"subscribed": [1, "Subscribed"], "unsubscribed": [2, "Unsubscribed"]},
    }
    desk = Desk("activetrail", options)
    desk.deliver("subscribe", AGREED)
    desk.deliver("unsubscribe", EVA, id="d2")
    entries = [one.as_json() for one in sandbox.world.journal.entries("activetrail", None, 0)]
    assert [one["body"]["status"] for one in entries if one["method"] == "POST"] == ["1", "2"]
    assert [one["status"] for one in contacts(sandbox)] == ["Unsubscribed"]


def test_unsubscribe_nobody(desk: Desk, sandbox: Running) -> None:
    """A contact that does not exist is not made to be unsubscribed."""
    assert desk.deliver("unsubscribe", EVA).note == "not_there"
    assert contacts(sandbox) == []


def test_unsubscribe_not_in_force() -> None:
    """What was taken and is not shown is tried again: another word would be a person who is written to."""
    one = '{"id": 7, "email": "eva@example.org", "status": "Subscribed"}'
    with RawServer(reply(200, f"[{one}]"), reply(200, one)) as server:
        failed = Desk("activetrail", {"base": server.url, "api_key": "k"}).fail("unsubscribe", EVA)
    assert (failed.failure, failed.code) == ("transient", "not_in_force")
    assert [request.method for request in server.requests] == ["GET", "POST", "GET"]


def test_no_consent(desk: Desk, sandbox: Running) -> None:
    """Nobody is subscribed who did not agree."""
    assert desk.fail("subscribe", EVA | {"consent": {"newsletter": False}}).code == "no_consent"
    assert contacts(sandbox) == []


def test_group(desk: Desk, sandbox: Running) -> None:
    """A contact comes into a group and leaves it, each as often as one likes."""
    made = int(desk.deliver("upsert_contact", EVA).result["id"])
    for n in (1, 2):
        desk.deliver("add_to_group", IN_GROUP, id=f"in{n}")
    assert members(sandbox) == [made]
    assert [desk.deliver("remove_from_group", IN_GROUP, id=f"out{n}").note for n in (1, 2)] == ["", "not_there"]
    assert members(sandbox) == []


def test_group_makes_nobody(desk: Desk, sandbox: Running) -> None:
    """Who is no contact is not made one by a group."""
    assert desk.fail("add_to_group", IN_GROUP).code == "no_contact"
    assert desk.deliver("remove_from_group", IN_GROUP).note == "not_there"
    assert contacts(sandbox) == []


def test_unknown_group(desk: Desk) -> None:
    """A group that does not exist is a dead letter; a part of a name is none."""
    desk.deliver("upsert_contact", EVA)
    for name in ("Newslette", "newsletter", "VIP"):
        failed = desk.fail("add_to_group", EVA | {"group": name})
        assert (failed.failure, failed.code) == ("permanent", "no_group")


def test_two_groups_of_one_name(desk: Desk, sandbox: Running) -> None:
    """Two groups of one name are a person's to tell apart."""
    desk.deliver("upsert_contact", EVA)
    sandbox.world.activetrail.groups[502] = {"id": 502, "name": "Newsletter"}
    failed = desk.fail("add_to_group", IN_GROUP)
    assert failed.code == "several_objects"
    assert "501 and 502" in failed.hint


def test_many_groups(desk: Desk, sandbox: Running) -> None:
    """A name is found on a later page."""
    desk.deliver("upsert_contact", EVA)
    for n in range(600, 750):
        sandbox.world.activetrail.groups[n] = {"id": n, "name": f"Group {n}"}
    sandbox.world.activetrail.groups[800] = {"id": 800, "name": "Group"}
    desk.deliver("add_to_group", EVA | {"group": "Group"})
    assert len(sandbox.world.activetrail.members[800]) == 1


def test_group_was_made_anew(desk: Desk, sandbox: Running) -> None:
    """The number of a group is remembered for a while; when it is gone, the name is looked for again."""
    desk.deliver("upsert_contact", EVA)
    desk.deliver("add_to_group", IN_GROUP)
    groups = sandbox.world.activetrail.groups
    groups[502] = {"id": 502, "name": groups.pop(501)["name"]}
    failed = desk.fail("add_to_group", IN_GROUP, id="d2")
    assert (failed.failure, failed.code) == ("transient", "stale_id")
    desk.deliver("add_to_group", IN_GROUP, id="d2", attempt=2)
    assert len(sandbox.world.activetrail.members[502]) == 1
    assert desk.deliver("remove_from_group", IN_GROUP, id="d3").note == ""


def test_contact_is_gone(desk: Desk, sandbox: Running) -> None:
    """A contact that was deleted there is searched by the next attempt, and made anew."""
    desk.deliver("upsert_contact", EVA)
    sandbox.world.activetrail.contacts.clear()
    assert desk.fail("upsert_contact", EVA | {"first_name": "Eva"}, id="d2").code == "stale_id"
    assert desk.deliver("upsert_contact", EVA, id="d2", attempt=2).result["created"] is True


def test_key_stands_bare() -> None:
    """The token is sent without a scheme."""
    with RawServer(reply(200, "[]"), reply(200, '{"id": 7}')) as server:
        Desk("activetrail", {"base": server.url, "api_key": "k-1"}).deliver("upsert_contact", EVA)
    assert [request.headers["authorization"] for request in server.requests] == ["k-1", "k-1"]
    assert server.requests[0].target == "/contacts?CustomerStates=ALL&SearchTerm=eva%40example.org&Page=1&Limit=100"


def test_errors_are_options() -> None:
    """What an account answers to mean something else can be told."""
    rules = [{"status": [400], "contains": "blocked", "is": "limited", "code": "blocked"}]
    with RawServer(reply(400, '{"Message": "You are blocked"}')) as server:
        failed = Desk("activetrail", {"base": server.url, "api_key": "k", "errors": rules}).fail("upsert_contact", EVA)
    assert (failed.failure, failed.code) == ("limited", "blocked")


def test_statuses_are_words() -> None:
    """At least one word is needed."""
    with pytest.raises(ValidationError):
        Desk("activetrail", {"api_key": "k", "statuses": {"subscribed": []}})
