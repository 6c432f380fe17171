"""Who is told, how often, and what happens when nobody listens."""

from collections.abc import AsyncIterator

import pytest

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


async def test_nobody_listens(site: WorkerFixture, alerts: AlertSender) -> None:
    """An alert that nobody took is told again at the next occasion."""
    site.far.fail(path="/alerts", status=500)
    site.far.fail(path="/alerts", reset=True)
    for _ in range(4):
        alerts.tell("held_key", "somebody must look", destination="crm")
        await alerts.close()
    assert len(site.far.requests("POST", "/alerts")) == 3
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
    assert "alert code=held_key destination=crm" in caplog.text
