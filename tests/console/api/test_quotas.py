"""`relais quotas` and GET /quotas, over HTTP: a real console on a real store."""

from datetime import UTC, datetime

from rich.console import Console

from console.api import quotas
from console.commands.quotas import draw
from mailroom import QuotaState
from rules.quota import Quota
from tests.conftest import PrivateValkey
from tests.console.api.console_process import samples
from tests.console.api.stuck_things import Stuck, StuckConsole, stuck

NOON = 1_795_953_600_000  # 2026-11-29T12:00:00Z
HOUR = 3_600_000


async def use(it: Stuck) -> None:
    await it.mailroom.set_quota("key", "CRM_KEY", ["crm"], quota=Quota(limit="5/day", reserve=2))
    await it.mailroom.pace("crm", 3)
    await it.mailroom.rest("crm", 0.001)  # now there is such a room


def test_quotas(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """A key is called by the name of its reference, with what is used of it; its rooms say why they wait."""
    assert relais("quotas").startswith("No key has a quota")
    assert relais.json("quotas") == {"quotas": []}
    stuck(valkey.url, use)
    (told,) = relais.json("quotas")["quotas"]
    resets = told.pop("resets_at")
    why = f"3 of 5 requests of CRM_KEY are used until {resets}, 2 are kept for urgent ones"
    assert (told.pop("code"), told.pop("args")["left"]) == ("quota_reserved", 2)
    assert told == {
        "credential": "CRM_KEY",
        "used": 3,
        "limit": 5,
        "left": 2,
        "reserve": 2,
        "used_up": True,
        "gone_at": None,
        "destinations": ["crm"],
        "why": why,
    }
    shown = relais("quotas")
    assert "CRM_KEY" in shown
    assert "gone" in shown
    assert why in shown
    metrics = samples(relais.url)
    assert metrics['relais_quota_used{credential="CRM_KEY"}'] == 3
    assert metrics['relais_quota_limit{credential="CRM_KEY"}'] == 5
    (crm,) = [room for room in relais.json("rooms", "list")["rooms"] if room["name"] == "crm"]
    assert crm["quota"]["why"] == why
    assert why in relais("rooms", "list")


def test_explain() -> None:
    """Where usual deliveries wait, a sentence says why and until when."""
    ends = "2026-11-29T13:00:00.000Z"
    assert quotas.explain(QuotaState("KEY", 3, 5, 1, NOON + HOUR)) == ""
    gone = quotas.explain(QuotaState("KEY", 5, 5, 0, NOON + HOUR))
    assert gone == f"5 of 5 requests of KEY are used until {ends}"
    assert quotas.explain(QuotaState("KEY", 0, 5, 0, 0)).startswith("the quota of KEY is not known: nobody has said")


def test_table() -> None:
    """The table fits 80 columns; a time of another day has its date."""
    states = [
        QuotaState("MAILEON_API_KEY", 123_456_789, 987_654_321, 1_000, NOON + 20 * HOUR, (), NOON + HOUR),
        QuotaState("B", 5, 5, 0, NOON + HOUR, ()),
        QuotaState("C", 0, 5, 0, 0, ()),
    ]
    shown = draw([quotas.as_json(state) for state in states], datetime.fromtimestamp(NOON / 1000, UTC))
    with (console := Console(width=80)).capture() as captured:
        console.print(shown)
    lines = captured.get().splitlines()
    assert lines[0].split() == ["credential", "used", "limit", "reserve", "gone", "at", "resets", "at"]
    assert lines[1].split() == [
        "MAILEON_API_KEY",
        "123456789",
        "987654321",
        "1000",
        "13:00",
        "11-30",
        "08:00",
    ]
    assert lines[2].split() == ["B", "5", "5", "0", "gone", "13:00"]
    assert lines[3].split() == ["C", "0", "5", "0", "-", "-"]
    assert max(map(len, lines)) <= 80
