from datetime import UTC, datetime, timedelta

import pytest

from mailroom import Mailroom, history
from tests.mailroom.store import event

pytestmark = pytest.mark.anyio

HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)


async def test_since(mailroom: Mailroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events come oldest first over all pages, each once, with their records; one whose payload is gone has none."""
    monkeypatch.setattr(history, "PAGE", 2)
    monkeypatch.setattr(history, "RECORDS", 2)
    names = [f"e{n}" for n in range(7)]
    for name in names[:4]:
        await mailroom.put([event(name)])
    await mailroom.put([event(name) for name in names[4:]])
    await mailroom.store.delete(mailroom.key("e:e2"))
    found = [each async for each in history.since(mailroom, HOUR_AGO)]
    assert [name for name, _ in found] == names
    assert [name for name, record in found if record is None] == ["e2"]
    assert found[0][1] == await mailroom.record("e0")


async def test_nothing_since(mailroom: Mailroom) -> None:
    """What came before the time is left out."""
    await mailroom.put([event("e1")])
    assert [each async for each in history.since(mailroom, datetime.now(UTC) + timedelta(minutes=1))] == []
