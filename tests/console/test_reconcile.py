"""`relais reconcile`: a real receiver and a real console, against the sandbox's SeminarDesk."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from console import cli
from console.processes import port
from mailroom import Mailroom
from sandbox import server
from sandbox.server import Running
from tests.conftest import PrivateValkey
from tests.console.api.console_process import begin, with_mailroom
from tests.console.conftest import Start

BOOK = """
sources:
  sd:
    kind: seminardesk
    verify: {none: a source for tests}
    pull: {api_key: "${SD_KEY}", base: "%s", allow_private: true}
  shop:
    kind: generic
    verify: {none: a source for tests}
    read: {type: body.event}
"""

Reconcile = Callable[..., Result]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    """The vendors' stand-ins."""
    with server.in_thread() as running:
        yield running


@pytest.fixture
def reconcile(
    sandbox: Running, valkey: PrivateValkey, start: Start, book: Path, monkeypatch: pytest.MonkeyPatch
) -> Reconcile:
    """The command, beside a receiver and a console whose book leads to the sandbox."""
    sandbox.world.reset()
    text = BOOK % sandbox.base("seminardesk")
    (book / "book.yaml").write_text(text)

    async def keep(mailroom: Mailroom) -> None:
        await mailroom.keep_book("v1", {"book.yaml": text})

    with_mailroom(valkey, keep)
    monkeypatch.setenv("RELAIS_CONSOLE_URL", begin(start, valkey.url))
    number = port.free("127.0.0.1")
    key = sandbox.world.accounts.seminardesk_api_key
    receiver = start("receive", "--port", str(number), REDIS_URL=valkey.url, SD_KEY=key)
    receiver.wait_healthy(f"http://127.0.0.1:{number}")

    def run(*words: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(cli.relais, ["reconcile", *words], input=answer)

    return run


def change(sandbox: Running, *numbers: int) -> None:
    at = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    for number in numbers:
        booking = sandbox.world.seminardesk.bookings.get(number)
        booking["objectInfo"] |= {"createdAt": at, "changedAt": at}


def test_reconcile(reconcile: Reconcile, sandbox: Running) -> None:
    """What is missing is shown, and taken in after a yes; done again, nothing is missing. A pipe gets no progress."""
    change(sandbox, 9101, 9102)
    shown = reconcile("sd", "--since", "2h", "--dry-run")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0] == "sd: 2 records compared, 2 missing."
    assert lines[1].split() == ["type", "about", "when"]
    assert {line.split()[1] for line in lines[2:4]} == {"booking/9101", "booking/9102"}
    assert (lines[4], shown.stderr) == ("2 booking.created", "")
    said_no = reconcile("sd", "--since", "2h", answer="n\n")
    assert said_no.output.endswith("Take in these 2? [y/N]: n\n")
    told: dict[str, Any] = json.loads(reconcile("sd", "--since", "2h", "--json", "--yes").stdout)
    assert (told["compared"], told["missing"], told["taken_in"]) == (2, 2, 2)
    assert {event["subject"] for event in told["events"]} == {"booking/9101", "booking/9102"}
    again = reconcile("sd", "--since", "2h", "--yes")
    assert (again.exit_code, again.stdout) == (0, "sd: 2 records compared, 0 missing.\n")


def test_refused(reconcile: Reconcile, sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be compared is refused with the reason, and so is what lies too long ago."""
    assert "not_pulled" in reconcile("shop", "--since", "2h").output
    assert "unknown_source" in reconcile("none", "--since", "2h").output
    assert "too_long_ago" in reconcile("sd", "--since", "40d").output
    sandbox.world.accounts.__dict__["seminardesk_api_key"] = "another"
    try:
        refused = reconcile("sd", "--since", "2h")
    finally:
        del sandbox.world.accounts.__dict__["seminardesk_api_key"]
    assert refused.exit_code == 1
    assert "sd was not compared: key_refused: bookings: the vendor answers 401" in refused.output
