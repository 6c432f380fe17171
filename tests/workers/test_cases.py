import pytest

from mailroom.records import DeadLetterInfo
from tests.conftest import PrivateValkey
from tests.workers.worker_fixture import WorkerFixture
from workers.alerts import AlertSender
from workers.cases import CaseKeeper
from workers.http import Http

pytestmark = pytest.mark.anyio


def died(rule: str) -> DeadLetterInfo:
    return DeadLetterInfo("crm", "e1", "invalid", "the CRM refuses it", rule=rule)


async def test_told(site: WorkerFixture) -> None:
    """The first failure of a cause is told, those that follow are not."""
    async with Http() as http:
        alerts = AlertSender(http, site.mailroom)
        alerts.aim(f"{site.far.url}/alerts")
        keeper = CaseKeeper(site.mailroom, alerts)
        for rule in ("contacts", "contacts", "notes"):
            keeper.note(died(rule))
        await keeper.look()
        keeper.note(died("contacts"))
        await keeper.look()
        await alerts.close()
    assert sorted(alert["text"] for alert in site.far.alerts) == [
        'crm: invalid (rule "contacts"): a new kind of failure',
        'crm: invalid (rule "notes"): a new kind of failure',
    ]
    assert {alert["alert"] for alert in site.far.alerts} == {"case_new"}


async def test_store_away(valkey: PrivateValkey) -> None:
    """What the store does not take now is written later."""
    from mailroom import Mailroom, StoreUnavailable, cases

    async with Http() as http, await Mailroom.open(valkey.url) as mailroom:
        keeper = CaseKeeper(mailroom, AlertSender(http, mailroom))
        keeper.note(died("contacts"))
        valkey.stop()
        with pytest.raises(StoreUnavailable):
            await keeper.look()
        valkey.start()
        await keeper.look()
        assert [case.count for case in await cases.read(mailroom)] == [1]
