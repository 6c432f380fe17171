import time
from typing import Any

import pytest

from sandbox.server import Running
from tests.sandbox.conftest import Send

EVA = {"email": "eva@example.org"}


def order(control: Send, **fault: Any) -> None:
    answer = control("POST", "/faults", sent={"vendor": "crm", **fault})
    assert answer.status == 201, answer.text


def contacts(control: Send) -> int:
    return len(control("GET", "/state/crm").json()["contacts"])


def test_status(crm: Send, control: Send) -> None:
    """Told to fail once, the vendor answers in its own shape and stores nothing; the next call works."""
    order(control, status=503, retry_after="7")
    answer = crm("POST", "/contacts", sent=EVA)
    assert (answer.status, answer.json()["error"]["code"]) == (503, "unavailable")
    assert {name.lower(): value for name, value in answer.headers.items()}["retry-after"] == "7"
    assert contacts(control) == 0
    assert crm("POST", "/contacts", sent=EVA).status == 201


def test_status_after_effect(crm: Send, control: Send) -> None:
    """A 500 although it was stored: the caller cannot know."""
    order(control, status=500, after_effect=True, body="<h1>Server Error</h1>")
    answer = crm("POST", "/contacts", sent=EVA)
    assert (answer.status, answer.text) == (500, "<h1>Server Error</h1>")
    assert contacts(control) == 1


@pytest.mark.parametrize(("after_effect", "stored"), [(False, 0), (True, 1)])
def test_reset(crm: Send, control: Send, after_effect: bool, stored: int) -> None:
    """The connection is torn down by a TCP reset, before or after the effect; the server goes on."""
    order(control, reset=True, after_effect=after_effect)
    with pytest.raises(ConnectionResetError):
        crm("POST", "/contacts", sent=EVA)
    assert contacts(control) == stored
    assert crm("GET", "/contacts").status == 200
    [entry] = [one for one in control("GET", "/requests?vendor=crm").json()["requests"] if one["method"] == "POST"]
    assert (entry["status"], entry["fault"]) == (0, "after reset" if after_effect else "reset")


def test_delay(crm: Send, control: Send) -> None:
    """Told to be slow, the vendor does it late; other requests do not wait for it."""
    order(control, delay=0.2, times=1)
    started = time.monotonic()
    assert crm("POST", "/contacts", sent=EVA).status == 201
    assert time.monotonic() - started >= 0.2
    assert contacts(control) == 1


@pytest.mark.parametrize(
    ("fault", "met"),
    [
        ({}, True),
        ({"method": "post"}, True),
        ({"method": "PATCH"}, False),
        ({"path": "/contacts"}, True),
        ({"path": "/crm/contacts"}, True),
        ({"path": "/con*"}, True),
        ({"path": "/contacts/*"}, False),
        ({"object": "email:eva@*"}, True),
        ({"object": "email:ada@*"}, False),
        ({"vendor": "*"}, True),
        ({"vendor": "maileon"}, False),
        ({"times": None}, True),
        ({"times": 0}, False),
    ],
)
def test_which_calls(crm: Send, control: Send, fault: dict[str, Any], met: bool) -> None:
    """A fault meets the calls of its vendor, method, path and object, and no others."""
    order(control, status=502, **fault)
    assert crm("POST", "/contacts", sent=EVA).status == (502 if met else 201)


def test_times(crm: Send, control: Send) -> None:
    """A fault is used up after its number of calls, says how many it met, and DELETE clears what is left."""
    order(control, status=502, times=2)
    order(control, status=429, times=None)
    assert [crm("GET", "/contacts").status for _ in range(4)] == [502, 502, 429, 429]
    listed = control("GET", "/faults").json()["faults"]
    assert [(one["status"], one["met"], one["times"]) for one in listed] == [(502, 2, 0), (429, 2, None)]
    assert control("DELETE", "/faults?vendor=maileon").status == 204
    assert crm("GET", "/contacts").status == 429
    assert control("DELETE", "/faults").status == 204
    assert crm("GET", "/contacts").status == 200


def test_each_vendor_fails_in_its_own_shape(maileon: Send, seminardesk: Send, invoicing: Send, control: Send) -> None:
    """Maileon fails in XML, SeminarDesk with its three fields, the REST vendors with `error`."""
    control("POST", "/faults", sent={"vendor": "*", "status": 500, "times": 3})
    assert "<error><message>" in maileon("GET", "/ping").text
    assert set(seminardesk("GET", "/persons/4711").json()) == {"status", "message", "code"}
    assert set(invoicing("GET", "/customers").json()) == {"error"}


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"vendor": "nobody", "status": 500},
        {"vendor": "crm"},
        {"vendor": "crm", "status": 99},
        {"vendor": "crm", "status": "500"},
        {"vendor": "crm", "reset": 1},
        {"vendor": "crm", "status": 500, "colour": "red"},
        {"vendor": "crm", "find_lag": "long"},
        {"vendor": "crm", "find_lag": -1},
        {"vendor": "crm", "unsubscribe_lag": 1},
        {"vendor": "seminardesk", "find_lag": 1},
        {"vendor": "crm", "rate": 5},
        [],
    ],
)
def test_bad_order(control: Send, fault: object) -> None:
    """An order that names what does not exist is refused with the reason, and changes nothing."""
    answer = control("POST", "/faults", sent=fault)
    assert answer.status in (400, 404)
    assert answer.json()["error"]
    assert control("GET", "/faults").json() == {"faults": []}


def test_rate(crm: Send, control: Send) -> None:
    """Given a rate, the vendor answers 429 with Retry-After beyond it, and takes no harm from the refused."""
    order(control, rate={"requests": 2, "per": 30})
    answers = [crm("POST", "/contacts", sent=EVA) for _ in range(3)]
    assert [answer.status for answer in answers] == [201, 201, 429]
    assert 1 <= int({name.lower(): value for name, value in answers[2].headers.items()}["retry-after"]) <= 31
    assert contacts(control) == 2
    order(control, rate=None)
    assert crm("POST", "/contacts", sent=EVA).status == 201


def test_too_large(sandbox: Running, crm: Send) -> None:
    """A body beyond nine million bytes is refused."""
    try:
        status = crm("POST", "/contacts", body=b" " * 9_000_001, headers={"Content-Type": "application/json"}).status
    except (BrokenPipeError, ConnectionResetError):
        status = 413  # it was refused before it was sent to the end
    assert status == 413
    assert crm("GET", "/contacts").status == 200
