import pytest

from console.access import Actor, Audit, Role
from mailroom import Mailroom

pytestmark = pytest.mark.anyio

EVA, MAX = Actor("eva", Role.OPERATOR), Actor("max", Role.VIEWER)


async def test_read(mailroom: Mailroom) -> None:
    """Lines are read newest first, by pages, by whom and by verb."""
    audit = Audit(mailroom)
    for n in range(5):
        await audit.write(EVA, "retry", f"letter {n}", "CRM mended", n)
        await audit.write(MAX, "find", "4xwq")
    page, cursor = await audit.read(limit=3)
    assert [(line.by, line.role, line.verb, line.what) for line in page] == [
        ("max", "viewer", "find", "4xwq"),
        ("eva", "operator", "retry", "letter 4"),
        ("max", "viewer", "find", "4xwq"),
    ]
    rest, end = await audit.read(limit=100, cursor=cursor)
    assert (len(rest), end) == (7, "")
    mine, _ = await audit.read(by="eva")
    assert (mine[0].what, mine[0].reason, mine[0].count) == ("letter 4", "CRM mended", 4)
    assert len(mine) == len((await audit.read(verb="retry"))[0]) == 5
    assert await audit.read(until=mine[-1].at) == ([], "")
    assert await audit.read(limit=10) == ([*page, *rest], "")


async def test_age(mailroom: Mailroom) -> None:
    """A line older than 400 days is not shown, and goes in the end."""
    await mailroom.store.xadd(mailroom.key("audit"), {"line": "{}"}, id="1-1")
    audit = Audit(mailroom)
    await audit.write(EVA, "retry", "letter")
    assert [line.what for line in (await audit.read())[0]] == ["letter"]
