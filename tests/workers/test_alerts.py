"""Who is told, how often, and what happens when nobody listens."""

import logging
from collections.abc import AsyncIterator

import pytest

from mailroom import Mailroom
from tests.conftest import PrivateValkey
from tests.workers.worker_fixture import WorkerFixture
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
