"""What keys may be used for, read from a book, and what people are told of it."""

from pathlib import Path
from typing import Any, cast

import pytest

from console import catalogue
from mailroom import QuotaState
from rules.compiler import loader
from rules.rulebook import Rulebook
from rules.secret import Secret
from workers import quotas
from workers.quotas import Meter, QuotaKeeper, read_meters

BOOK = """\
destinations:
  crm:
    kind: rest
    base: https://crm.example.org
    auth: {bearer: "${ONE}"}
    headers: {X-Tenant: "${TENANT}"}
    limit: 10/s
    quota: {limit: 5000/day, reserve: 100}
  notes:
    kind: rest
    base: https://crm.example.org
    auth: {header: {name: X-Key, value: "${SAME}"}}
    limit: 5/s
    quota: 200000/month
  desk:
    kind: seminardesk
    base: https://desk.example.org
    api_key: ${TWO}
    limit: 5/s
  open:
    kind: rest
    base: https://open.example.org
    quota: 50/day
  plain:
    kind: rest
    base: https://plain.example.org
  missing:
    kind: rest
    base: https://missing.example.org
    auth: {bearer: "${NOT_HERE}"}
    quota: 10/day
  pair:
    kind: rest
    base: https://pair.example.org
    auth: {basic: {user: "${USER_NAME}", password: "${ONE}"}}
    quota: 1/day
"""


@pytest.fixture
def book(tmp_path: Path) -> Rulebook:
    (tmp_path / "book.yaml").write_text(BOOK, encoding="utf-8")
    checked = loader.check(tmp_path, catalogue.build())
    assert checked.book is not None, checked.problems
    return checked.book


def reveal(secret: Secret) -> str:
    return secret.resolve({"ONE": "k1", "SAME": "k1", "TWO": "k2", "USER_NAME": "eva", "TENANT": "t"})


def test_meters(book: Rulebook) -> None:
    """Destinations with one key share the least of what they say; a rate that one has for itself is its room's."""
    found = {meter.credential: meter for meter in read_meters(book, reveal)}
    assert {credential: (meter.name, meter.rooms) for credential, meter in found.items()} == {
        "k1": ("ONE", ("crm", "notes")),
        "destination open": ("open", ("open",)),
        "eva\nk1": ("USER_NAME ONE", ("pair",)),
    }
    crm = found["k1"]
    assert (crm.every, crm.burst, crm.quota) == (200, 1, book.destinations["crm"].quota)
    assert found["destination open"].every == 0


class AlertsStub:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def tell(self, code: str, text: str, *, credential: str) -> None:
        self.told.append((code, text, credential))


class MailroomStub:
    """A mailroom that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []
        self.states: list[QuotaState] = []

    async def set_quota(self, credential: str, name: str, rooms: tuple[str, ...], **more: Any) -> None:
        self.said.append((name, more["quota"]))

    async def quotas(self) -> list[QuotaState]:
        return self.states


@pytest.fixture
def mailroom() -> MailroomStub:
    return MailroomStub()


@pytest.fixture
def alerts() -> AlertsStub:
    return AlertsStub()


@pytest.fixture
def keeper(mailroom: MailroomStub, alerts: AlertsStub) -> QuotaKeeper:
    return QuotaKeeper(cast(Any, mailroom), cast(Any, alerts))


@pytest.mark.anyio
async def test_look(
    keeper: QuotaKeeper, mailroom: MailroomStub, alerts: AlertsStub, book: Rulebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a minute the store is told which page it is, and people what will not last, once a page."""
    meters = read_meters(book, reveal)
    await keeper.use(meters)
    assert [name for name, _ in mailroom.said] == ["ONE", "open", "USER_NAME ONE"]
    ends = 1_796_000_000_000
    mailroom.states = [
        QuotaState("ONE", 4900, 5000, 100, ends, ("crm", "notes")),
        QuotaState("open", 20, 50, 0, ends, ("open",), gone_at=ends - 3_600_000),
        QuotaState("USER_NAME ONE", 0, 1, 0, ends, ("pair",)),
        QuotaState("PULLED", 9, 9, 0, ends),
        QuotaState("OTHERS", 9, 9, 0, ends, ("elsewhere",)),
        QuotaState("ONE", 0, 5000, 100, 0, ("crm",)),
    ]
    await keeper.look()
    assert (len(mailroom.said), alerts.told) == (3, [])
    monkeypatch.setattr(quotas, "TELL_EVERY", 0.0)
    await keeper.look()
    await keeper.look()
    assert len(mailroom.said) == 9
    assert alerts.told == [
        (
            "quota_used_up",
            "4900 of 5000 requests of ONE (crm, notes) are used: deliveries wait until 2026-11-30 00:53 UTC "
            "(100 are left for urgent ones)",
            "ONE",
        ),
        (
            "quota_ends_early",
            "20 of 50 requests of open (open) are used: gone about 2026-11-29 23:53 UTC, renewed 2026-11-30 00:53 UTC",
            "open",
        ),
    ]


def test_learned(keeper: QuotaKeeper) -> None:
    """What a beat says: leases of rooms with a quota that asked nobody, and the least that was said to be left."""
    meter = Meter("k", "K", ("crm",), 0.0, None)
    keeper.quotas = {room: cast(Any, meter.quota) for room in meter.rooms}
    for _ in range(2):
        keeper.note_unsent("crm")
    keeper.note_unsent("other")
    for left in (9, 5, 7):
        keeper.note_left("crm", left)
    assert keeper.take_learned() == [("crm", 2, 5)]
    assert keeper.take_learned() == []
