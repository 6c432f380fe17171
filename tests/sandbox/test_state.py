import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.sandbox.conftest import Send

EVA = {"email": "eva@example.org"}


def logged(control: Send, query: str = "") -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = control("GET", f"/requests?{query}").json()["requests"]
    return entries


def test_state_of_all(control: Send) -> None:
    """The state has every vendor; one is shown alone; an unknown one is 404."""
    assert set(control("GET", "/state").json()) == {
        "maileon",
        "seminardesk",
        "crm",
        "invoicing",
        "magnetis",
        "activetrail",
        "lexware",
        "pipedrive",
        "webhook",
        "hubspot",
        "etracker",
        "mail",
    }
    assert control("GET", "/state/crm").json() == {"contacts": [], "notes": [], "tasks": [], "leads": []}
    assert control("GET", "/state/nobody").status == 404


def test_requests(crm: Send, maileon: Send, control: Send) -> None:
    """Every request is in the log with its object, in the order in which they came, without any key."""
    crm("POST", "/contacts", sent=EVA)
    crm("POST", "/contacts/c1/notes", sent={"text": "x"})
    maileon("POST", "/contacts/email/Eva%40example.org?doi=true", sent={})
    entries = logged(control, "object=email%3Aeva%40example.org")
    assert [(one["vendor"], one["method"], one["path"], one["status"]) for one in entries] == [
        ("crm", "POST", "/contacts", 201),
        ("crm", "POST", "/contacts/c1/notes", 201),
        ("maileon", "POST", "/contacts/email/Eva@example.org", 201),
    ]
    assert entries[0]["body"] == EVA
    assert entries[2]["query"] == {"doi": "true"}
    assert all(before["ended"] <= after["started"] for before, after in itertools.pairwise(entries))
    assert "sandbox" not in str(entries)


def test_requests_after(crm: Send, control: Send) -> None:
    """The log is read on from a number, and cleared."""
    for _ in range(3):
        crm("GET", "/contacts")
    numbers = [one["number"] for one in logged(control)]
    assert [one["number"] for one in logged(control, f"after={numbers[0]}")] == numbers[1:]
    assert control("GET", "/requests?after=x").status == 400
    assert control("DELETE", "/requests").status == 204
    assert logged(control) == []


def test_most_at_once(crm: Send, control: Send) -> None:
    """The log says how many requests a vendor had at the same time."""
    control("POST", "/faults", sent={"vendor": "crm", "delay": 0.3, "times": None})
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: crm("GET", "/contacts"), range(4)))
    assert control("GET", "/requests").json()["most_at_once"] == {"crm": 4}


def test_reset_of_one(crm: Send, maileon: Send, control: Send) -> None:
    """One vendor is emptied and its settings and faults are put back; the others keep theirs."""
    crm("POST", "/contacts", sent=EVA)
    maileon("POST", "/contacts/email/eva@example.org", sent={})
    control("POST", "/faults", sent={"vendor": "crm", "find_lag": 60})
    control("POST", "/faults", sent={"vendor": "crm", "status": 500})
    assert control("POST", "/reset?vendor=crm").status == 204
    assert control("GET", "/state/crm").json()["contacts"] == []
    assert len(control("GET", "/state/maileon").json()["contacts"]) == 1
    crm("POST", "/contacts", sent=EVA)
    assert len(crm("GET", "/contacts").json()["data"]) == 1
    assert control("POST", "/reset?vendor=nobody").status == 404


def test_healthz(control: Send) -> None:
    """The sandbox says that it is up."""
    assert control("GET", "/healthz").json() == {"status": "ok"}
