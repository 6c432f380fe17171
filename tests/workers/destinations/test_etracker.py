from typing import Any
from urllib.parse import parse_qsl

import pytest
from pydantic import ValidationError

from sandbox.server import Running
from tests.workers.destinations.conftest import Desk, order
from tests.workers.wire import RawServer, reply

KEYS = {"account_key": "acc-1", "api_key": "key-1"}
SALE = {"order": "A-1", "amount": "99.5"}


@pytest.fixture
def desk(sandbox: Running) -> Desk:
    """An account whose pages have tracked any order."""
    accounts = sandbox.world.accounts
    keys = {"account_key": accounts.etracker_account_key, "api_key": accounts.etracker_api_key}
    return Desk("etracker", {"base": sandbox.base("etracker"), **keys})


def told(action: str, arguments: dict[str, Any], **options: Any) -> dict[str, str]:
    """Return the fields that are sent."""
    with RawServer(reply(200, "OK", "text/plain")) as server:
        Desk("etracker", {"base": server.url, **KEYS, **options}).deliver(action, arguments)
    return dict(parse_qsl(server.requests[0].body.decode()))


def answered(*steps: bytes, **options: Any) -> Any:
    """Return the failure that an answer is."""
    with RawServer(*steps) as server:
        return Desk("etracker", {"base": server.url, **KEYS, **options}).fail("confirm_sale", SALE)


def test_life_of_an_order(desk: Desk, sandbox: Running) -> None:
    """A lead becomes a sale, loses a part, and is cancelled."""
    orders = sandbox.world.etracker.orders
    states = []
    steps: list[tuple[str, dict[str, Any]]] = [
        ("confirm_lead", {"order": "A-1"}),
        ("confirm_sale", SALE),
        ("set_amount", {"order": "A-1", "amount": 40}),
        ("cancel_sale", {"order": "A-1"}),
    ]
    for n, (action, arguments) in enumerate(steps):
        desk.deliver(action, arguments, id=f"d{n}")
        states.append((orders["A-1"]["state"], orders["A-1"]["amount"]))
    assert states == [("lead", None), ("sale", "99.50"), ("sale", "40.00"), ("cancelled", "40.00")]


def test_again(desk: Desk, sandbox: Running) -> None:
    """A second time changes nothing: what was not answered is sent again."""
    order(sandbox, vendor="etracker", reset=True, after_effect=True)
    assert desk.fail("confirm_sale", SALE).failure == "transient"
    desk.deliver("confirm_sale", SALE, attempt=2)
    assert sandbox.world.etracker.orders["A-1"] == {"order": "A-1", "state": "sale", "amount": "99.50"}


def test_fields() -> None:
    """What is sent has the names of the manual; amounts have a point and two places."""
    assert told("confirm_sale", SALE) == {
        "et": "acc-1",
        "et_key": "key-1",
        "et_tonr": "A-1",
        "et_sale": "1",
        "et_profit": "99.50",
    }
    assert told("set_amount", {"order": 7, "amount": 1})["et_profit"] == "1.00"
    assert "et_sale" not in told("set_amount", {"order": 7, "amount": 1})
    assert told("cancel_sale", {"order": 7})["et_sale"] == "2"


def test_other_names() -> None:
    """Names of fields, path and header of a token are options, for the interface of today."""
    with RawServer(reply(200, "OK", "text/plain")) as server:
        options = {
            "base": f"{server.url}/api/v7",
            "token": "t-1",
            "path": "/confirm",
            "fields": {"order": "orderNumber"},
        }
        Desk("etracker", options).deliver("cancel_sale", {"order": "A-1"})
    (request,) = server.requests
    assert (request.target, request.headers["x-et-token"]) == ("/api/v7/confirm", "t-1")
    assert request.body == b"orderNumber=A-1&et_sale=2"


def test_get() -> None:
    """Where GET is asked for, all stands in the address."""
    with RawServer(reply(200, "OK", "text/plain")) as server:
        Desk("etracker", {"base": server.url, **KEYS, "method": "GET"}).deliver("cancel_sale", {"order": "A-1"})
    (request,) = server.requests
    assert request.target == "/lsconfirm.php?et=acc-1&et_key=key-1&et_tonr=A-1&et_sale=2"


@pytest.mark.parametrize(
    ("number", "failure", "code"),
    [
        (0, "credential", "no_account_key"),
        (1, "credential", "no_api_key"),
        (2, "permanent", "no_order"),
        (3, "permanent", "nothing_said"),
        (4, "credential", "wrong_account_key"),
        (5, "credential", "wrong_api_key"),
        (6, "transient", "unknown_order"),
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_errors(number: int, failure: str, code: str, status: int) -> None:
    """ERR 0 to 6 say what they say, under any status: a key that is wrong pauses, an order may still come."""
    failed = answered(reply(status, f"ERR: {number}", "text/plain"))
    assert (failed.failure, failed.code) == (failure, code)


def test_meanings_are_options() -> None:
    """An order that is not known can be final."""
    assert answered(reply(200, "ERR: 6"), meanings={6: "permanent"}).failure == "permanent"


@pytest.mark.parametrize("body", ["", "ERR: 9", "<html>OK</html>", "OK, but", '{"ok": true}', "[", "[]"])
def test_neither(body: str) -> None:
    """What is neither OK nor an error that we know is tried again."""
    failed = answered(reply(200, body, "text/html"))
    assert (failed.failure, failed.code) == ("transient", "bad_answer")


def test_limited() -> None:
    """429 waits, as told or without a word."""
    assert [answered(reply(429)).wait, answered(reply(429, Retry_After="9")).wait] == [0, 9]


def test_sandbox_knows_what_was_tracked(desk: Desk, sandbox: Running) -> None:
    """An order that no page has tracked is waited for."""
    sandbox.world.etracker.tell({"orders": ["B-1"]})
    assert desk.fail("confirm_sale", SALE).code == "unknown_order"
    sandbox.world.etracker.tell({"orders": ["A-1"]})
    desk.deliver("confirm_sale", SALE, attempt=2)


@pytest.mark.parametrize(
    "options",
    [{}, {"account_key": "a"}, {"api_key": "k"}, {**KEYS, "meanings": {7: "permanent"}}, {**KEYS, "path": "x"}],
)
def test_options_refused(options: dict[str, Any]) -> None:
    """Two keys or a token are needed; there is no ERR 7."""
    with pytest.raises(ValidationError):
        Desk("etracker", options)


@pytest.mark.parametrize(
    "arguments", [{"order": "A,1"}, {"order": "A;1"}, {"order": "x" * 51}, {"order": ""}, {"order": "A", "amount": -1}]
)
def test_arguments_refused(arguments: dict[str, Any]) -> None:
    """A number that etracker cannot take is refused before anything is sent."""
    with pytest.raises(ValidationError):
        Desk("etracker", KEYS).deliver("confirm_sale", arguments)
