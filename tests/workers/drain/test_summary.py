"""What a drain says it did: the result of its RQ job."""

import pytest

from tests.conftest import wait_until_async
from tests.workers.worker_fixture import NOTE, UPSERT, WorkerFixture, event
from workers.drain.summary import Summary

pytestmark = pytest.mark.anyio


def test_as_json() -> None:
    """It is plain JSON values, each under its name."""
    done = Summary(routed=5, delivered=4, retried=3, dead=2, held=1)
    assert done.as_json() == {"routed": 5, "delivered": 4, "retried": 3, "dead": 2, "held": 1}


@pytest.mark.usefixtures("impatient")
async def test_of_a_drain(site: WorkerFixture) -> None:
    """Each event and each attempt counts once, by how it ended."""
    broken = UPSERT.replace("keep the contact", "broken").replace("{{ data.name }}", "{{ data.nobody_sends_this }}")
    site.write(NOTE + broken)
    site.far.fail(method="POST", path="*/notes", who="fails@*", times=1, status=503)
    site.far.fail(method="POST", path="*/notes", who="dies@*", times=1, status=422)
    site.far.fail(method="POST", path="*/notes", who="unknown@*", times=1, reset=True)
    async with site.work():
        await site.put(*(event(f"e{n}", who) for n, who in enumerate(("fine", "fails", "dies", "unknown"))))

        async def all_ended() -> bool:
            return bool(await site.mailroom.held("crm")) and not any(
                r.ready + r.leased + r.waiting for r in await site.mailroom.rooms()
            )

        await wait_until_async(all_ended, "all have ended", 10)
    # Before it may hold the box for what nobody can tell, it tries once more.
    done = site.drain.summary.as_json()
    assert (done["routed"], done["delivered"], done["dead"], done["held"]) == (4, 2, 1 + 4, 1)
    assert done["retried"] >= 1
