import asyncio
import os
import re
import signal
import subprocess
import sys

import pytest

from sandbox import server
from tests.conftest import wait_until_async
from tests.sandbox.conftest import send


def test_in_a_loop() -> None:
    """Inside a running event loop the sandbox serves, and is gone afterwards."""

    async def visit() -> str:
        async with server.running() as one:
            answer = await asyncio.to_thread(send, f"{one.url}/_sandbox/healthz")
            assert answer.status == 200
            assert one.base("maileon") == f"{one.url}/maileon/1.0"
            return one.url

    url = asyncio.run(visit())
    with pytest.raises(ConnectionRefusedError):
        send(url)


def test_port_taken() -> None:
    """A taken port is an OSError for the caller, in a thread as well."""
    with server.in_thread() as one:
        port = int(one.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"), server.in_thread(port=port):
            pass


def test_further_accounts() -> None:
    """Below `/of/NAME` is all of the sandbox once more, with people of its own; a reset empties all of them."""
    with server.in_thread() as one:
        token = {"Authorization": f"Bearer {one.world.accounts.crm_token}"}
        for place, email in (("", "eva@example.org"), ("/of/crm_south", "kim@example.org")):
            path = f"{one.url}{place}/crm/contacts"
            assert send(path, "POST", headers=token, sent={"email": email}).json()["id"] == "c1"
        state = send(f"{one.url}/_sandbox/state").json()
        assert [each["email"] for each in state["crm"]["contacts"]] == ["eva@example.org"]
        assert [each["email"] for each in state["of"]["crm_south"]["crm"]["contacts"]] == ["kim@example.org"]
        assert send(f"{one.url}/of/crm_south/_sandbox/requests").json()["requests"][0]["path"] == "/contacts"
        send(f"{one.url}/_sandbox/reset", "POST")
        assert send(f"{one.url}/of/crm_south/_sandbox/state/crm").json()["contacts"] == []


def test_stop_with_a_slow_answer() -> None:
    """A stop does not wait for an answer that was told to take an hour."""

    async def visit() -> None:
        async with server.running() as one:
            await asyncio.to_thread(send, f"{one.url}/_sandbox/faults", "POST", sent={"vendor": "crm", "delay": 3600})
            asking = asyncio.create_task(asyncio.to_thread(send, f"{one.url}/crm/contacts"))

            async def arrived() -> bool:
                return any(one.world.journal.entries("crm"))

            await wait_until_async(arrived, "the slow request is under way")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(asking, 5)

    asyncio.run(visit())


def test_command() -> None:
    """`python -m sandbox --port 0` listens, says where, takes its keys from the environment and ends on SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SANDBOX_CRM_TOKEN": "another"},
    )
    with process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None
        assert send(f"{found[0]}/crm/contacts", headers={"Authorization": "Bearer another"}).status == 200
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    assert process.returncode in (0, -signal.SIGTERM)
