import pytest

from console.vendor_api import PAGE_CAP, OutgoingApi
from receiver.vendor_api import ApiFailed
from sandbox import server
from workers.http import ANSWER_CAP

pytestmark = pytest.mark.anyio


async def test_long_page_and_refusals() -> None:
    """A page longer than other answers may be is read whole; a private address needs to be allowed."""
    async with server.running() as running, OutgoingApi() as api:
        running.world.magnetis.tell({"calls": [{"id": "x" * 2_000, "start_at": "2026-11-28 10:00:00"}] * 250})
        headers = {"x-api-key": running.world.accounts.magnetis_api_key}
        url = f"{running.base('magnetis')}/calls"
        answer = await api.request("GET", url, headers=headers, allow_private=True)
        assert (answer.status, answer.cut) == (200, False)
        assert ANSWER_CAP < len(answer.body) < PAGE_CAP
        with pytest.raises(ApiFailed, match="private_address: the vendor's API leads"):
            await api.request("GET", url, headers=headers)
