"""Who is told, how often, and what happens when nobody listens."""

import json
import logging
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_json

from mailroom import Mailroom, RoomChange
from rules import standard_webhooks
from rules.business_hours import BusinessHours
from sandbox import server
from tests.conftest import PrivateValkey
from tests.workers.worker_fixture import NOTE, WorkerFixture, hours
from workers.alerts import AlertSender
from workers.http import Http

pytestmark = pytest.mark.anyio


@pytest.fixture
async def alerts(site: WorkerFixture) -> AsyncIterator[AlertSender]:
    """Alerts to the far side."""
    async with Http() as http:
        alerts = AlertSender(http, site.mailroom)
        alerts.aim(f"{site.far.url}/alerts")
        yield alerts
        await alerts.close()


async def test_once_an_hour(site: WorkerFixture, alerts: AlertSender) -> None:
    """The same thing is told once, another thing too."""
    for destination in ("crm", "crm", "invoicing"):
        alerts.tell("paused_destination", "refuses our key", destination=destination)
        await alerts.close()
    assert site.far.alerts == [
        {"alert": "paused_destination", "text": "refuses our key", "destination": "crm"},
        {"alert": "paused_destination", "text": "refuses our key", "destination": "invoicing"},
    ]


async def test_nobody_listens(site: WorkerFixture, alerts: AlertSender, caplog: pytest.LogCaptureFixture) -> None:
    """An alert that nobody took is told again at the next occasion."""
    site.far.fail(path="/alerts", status=500)
    site.far.fail(path="/alerts", reset=True)
    for _ in range(4):
        alerts.tell("held_key", "somebody must look", destination="crm")
        await alerts.close()
    assert len(site.far.requests("POST", "/alerts")) == 3
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert lines.count("alert code=held_key text=somebody must look") == 4
    assert lines.count("alert.refused code=held_key status=500") == 1
    assert sum(line.startswith("alert.not_told code=held_key why=") for line in lines) == 1
    assert len(site.far.alerts) == 1


async def test_taken_back(site: WorkerFixture, alerts: AlertSender) -> None:
    """What was taken back is news again. Of two that take turns all day the listener hears a few, the bad news last."""
    for code, ends in 9 * (("destination_down", ()), ("destination_up", ("destination_down",))):
        alerts.tell(code, "as it is now", destination="crm", ends=ends)
        await alerts.close()
    assert [alert["alert"] for alert in site.far.alerts] == ["destination_down", "destination_up", "destination_down"]


async def test_no_address(site: WorkerFixture, alerts: AlertSender, caplog: pytest.LogCaptureFixture) -> None:
    """Without an address an alert is a line in the log."""
    alerts.aim("")
    alerts.tell("held_key", "somebody must look", destination="crm")
    await alerts.close()
    assert site.far.seen == []
    assert "alert code=held_key" in caplog.text


async def test_signed(site: WorkerFixture, alerts: AlertSender) -> None:
    """With a key an alert is signed after Standard Webhooks; a test of the alerts is posted each time."""
    key = b"k" * 24
    assert await alerts.test() == "told"
    assert "webhook-signature" not in site.far.requests("POST", "/alerts")[0].headers
    alerts.aim(f"{site.far.url}/alerts", key)
    assert await alerts.test() == "told"
    request = site.far.requests("POST", "/alerts")[1]
    id, at = request.headers["webhook-id"], int(request.headers["webhook-timestamp"])
    assert request.headers["webhook-signature"] == standard_webhooks.sign([key], id, at, to_json(request.body))
    alerts.aim("")
    assert await alerts.test() == "log_only"
    alerts.aim(f"{site.far.url}/alerts")
    site.far.fail(path="/alerts", status=500)
    assert await alerts.test() == "refused"


async def test_held(site: WorkerFixture, alerts: AlertSender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of business hours alerts wait, and are posted as one when these begin."""
    hours = BusinessHours(frozenset(range(5)), 8 * 60, 18 * 60, "Europe/Berlin")
    at = [datetime(2026, 11, 21, 3, tzinfo=UTC).timestamp()]  # a Saturday
    monkeypatch.setattr("workers.alerts.time.time", lambda: at[0])
    alerts.aim(f"{site.far.url}/alerts", hours=hours)
    for destination in ("crm", "invoicing", "crm"):
        await alerts.deliver("destination_down", f"{destination} is down", destination=destination)
    await alerts.look()
    assert site.far.alerts == []
    at[0] = datetime(2026, 11, 23, 7, 30, tzinfo=UTC).timestamp()
    site.far.fail(path="/alerts", status=500)
    for _ in range(3):
        await alerts.look()
    text = "while nobody was there:\ndestination_down: crm is down\ndestination_down: invoicing is down"
    assert site.far.alerts == [{"alert": "held_alerts", "text": text}]


async def test_how_often(site: WorkerFixture, alerts: AlertSender) -> None:
    """What was told is remembered for an hour, and then forgotten."""
    alerts.tell("held_key", "somebody must look", destination="crm")
    await alerts.close()
    (key,) = [key async for key in site.mailroom.store.scan_iter(match="*m:once:*")]
    assert 3_500 < await site.mailroom.store.ttl(key) <= 3_600


async def test_store_away(site: WorkerFixture, valkey: PrivateValkey, caplog: pytest.LogCaptureFixture) -> None:
    """Where the store cannot say whether it was told already, the log has it, and no delivery fails for it."""
    async with Http() as http, await Mailroom.open(valkey.url) as mailroom:
        alerts = AlertSender(http, mailroom)
        alerts.aim(f"{site.far.url}/alerts")
        valkey.stop(kill=True)
        alerts.tell("held_key", "somebody must look", destination="crm")
        await alerts.close()
        valkey.start()
    assert site.far.alerts == []
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "alert code=held_key text=somebody must look"
    assert lines[1].startswith("alert.not_told code=held_key why=the store did not answer")


@dataclass(frozen=True)
class AlertMailbox:
    """The mail server of a sandbox, as a book names it."""

    running: server.Running
    #: What a book has to say: a destination, and lines for `alerts:`.
    destination: str
    alerts: str = "  mail: {destination: post, to: Ops@Example.org}\n"

    def taken(self) -> list[dict[str, Any]]:
        """Return the mails."""
        return list(self.running.world.mail.holds()["messages"])


@pytest.fixture
def mailbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AlertMailbox]:
    """A real mail server, and its password in the environment."""
    with server.in_thread() as running:
        with urllib.request.urlopen(f"{running.url}/mail/server") as answer:  # noqa: S310 - our own address
            told = json.load(answer)
        (tmp_path / "mail.pem").write_text(told["certificate"])
        monkeypatch.setenv("MAIL_PASSWORD", running.world.accounts.mail_password)
        options = {"port": told["port"], "tls": "tls", "ca_file": str(tmp_path / "mail.pem"), "user": "relais"}
        options |= {"kind": "mail", "host": "127.0.0.1", "allow_private": True, "sender": "relais@example.org"}
        options |= {"password": "${MAIL_PASSWORD}"}
        yield AlertMailbox(running, f"\n  post: {json.dumps(options)}")


async def test_by_mail(site: WorkerFixture, mailbox: AlertMailbox, caplog: pytest.LogCaptureFixture) -> None:
    """An alert goes to a person by mail, too, once an hour; what one of the two ways took is told."""
    site.write(NOTE, more=mailbox.destination, alerts=mailbox.alerts)
    site.far.fail(times=2, path="/alerts", status=500)
    async with site.work():
        await site.until(lambda: site.context.clients, "the worker is equipped")
        for _ in range(2):
            site.context.report_room_change(RoomChange("key", "crm", "unauthorised"))
            await site.context.alerts.close()
        assert await site.context.alerts.test() == "partly"
        assert await site.context.alerts.test() == "told"
    assert [alert["alert"] for alert in site.far.alerts] == ["test"]
    first, second, third = mailbox.taken()
    assert (first["from"], first["to"]) == ("relais@example.org", "ops@example.org")
    assert first["subject"] == "Relais: paused_destination crm"
    assert first["text"] == "crm refuses our key (unauthorised)\n\ndestination: crm\n"
    assert {second["subject"], third["subject"]} == {"Relais: test"}
    assert len({mail["message_id"] for mail in (first, second, third)}) == 3
    assert "alert.refused code=paused_destination status=500" in caplog.text


async def test_by_mail_outside_of_hours(site: WorkerFixture, mailbox: AlertMailbox) -> None:
    """Outside of business hours no mail is sent; when they begin, one mail has all."""
    alerts = mailbox.alerts + "  hold: until business hours\n"
    site.write(NOTE + hours(open_now=False), more=mailbox.destination, alerts=alerts)
    async with site.work():
        await site.until(lambda: site.context.clients, "the worker is equipped")
        for name in ("crm", "desk"):
            await site.context.alerts.deliver("destination_down", f"{name} is down", destination=name)
        assert mailbox.taken() == []
        assert site.far.alerts == []
        await site.rewrite(NOTE + hours(open_now=True), more=mailbox.destination, alerts=alerts)
        await site.until(mailbox.taken, "what waited is mailed")
    (mail,) = mailbox.taken()
    assert mail["subject"] == "Relais: held_alerts"
    assert mail["text"].startswith("while nobody was there:\ndestination_down: crm is down\ndestination_down: desk is")


async def test_by_mail_without_password(
    site: WorkerFixture, mailbox: AlertMailbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mail server without its password is said in the log and stops nothing; one that refuses us was not told."""
    monkeypatch.delenv("MAIL_PASSWORD")
    site.write(NOTE, more=mailbox.destination, alerts=mailbox.alerts)
    async with site.work():
        await site.until(lambda: site.context.clients, "the worker is equipped")
        assert await site.context.alerts.test() == "told"
    assert "alerts.unusable why=the secret MAIL_PASSWORD is not set" in caplog.text
    monkeypatch.setenv("MAIL_PASSWORD", "another")
    site.far.fail(times=1, path="/alerts", status=500)
    async with site.work():
        await site.until(lambda: site.context.clients, "the worker is equipped")
        assert await site.context.alerts.test() == "refused"
    assert mailbox.taken() == []
    assert "alert.not_told code=test why=" in caplog.text
