import pytest

from console.access.views import MOST, SavedViews, ViewRefused, clean
from mailroom import Mailroom

pytestmark = pytest.mark.anyio


async def test_views(mailroom: Mailroom) -> None:
    """Each person keeps views under names, so many at the most; the last one that goes leaves nothing."""
    views = SavedViews(mailroom)
    await views.save("eva", " dead of crm ", "/todo/dead?destination=crm&did=x")
    assert await views.all("eva") == {"dead of crm": "/todo/dead?destination=crm"}
    assert await views.all("max") == {}
    for name in ("", "x" * 61, "a\nb", "eva@example.org"):
        with pytest.raises(ViewRefused):
            await views.save("eva", name, "/events")
    for n in range(MOST - 1):
        await views.save("eva", str(n), "/events")
    with pytest.raises(ViewRefused):
        await views.save("eva", "one more", "/events")
    for name in await views.all("eva"):
        await views.remove("eva", name)
    assert await views.all("eva") == {}


@pytest.mark.parametrize(
    "address", ["", "/people/x", "//x/events", "https://x/events", "/events?a=b%40c", "/events?" + "x" * 500]
)
def test_no_list(address: str) -> None:
    """What is no list of the pages, or names somebody, is not kept."""
    with pytest.raises(ViewRefused):
        clean(address)
