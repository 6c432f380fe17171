"""What the tests about stuck things need: dead letters and held boxes in a real store, and the command line.

Comes in: a store's address. Goes out: what `relais …` said, against a real console.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from console import cli
from mailroom import INBOX, DeadLetterInfo, Lease, Mailroom, NewDelivery, RoomRequest, Settlement, ledger
from mailroom.ledger import Verdict
from rules.event import Event

#: The ledger's page of what is received now; a month later it is gone.
DAY = datetime.now(UTC).date().isoformat()


def event(name: str, minute: int, who: str = "eva") -> Event:
    """Return an event of a person, received at a minute."""
    return Event(
        id=name,
        source="shop",
        kind="generic",
        type="order.paid",
        received_at=f"{DAY}T10:{minute:02}:00.000Z",
        body=json.dumps({"email": f"{who}@example.org"}).encode(),
        order_key=f"email:{who}@example.org",
        sender_id=name,
    )


class Stuck:
    """Makes things go wrong in a store."""

    def __init__(self, mailroom: Mailroom) -> None:
        self.mailroom = mailroom
        self._calls = 0
        self._minute = 0

    async def take(self, room: str) -> list[Lease]:
        """Take one item of each box of a room."""
        self._calls += 1
        await self.mailroom.beat("d1", register=True)
        return (await self.mailroom.take("d1", f"r{self._calls}", [RoomRequest(room, 500, 1)])).leases

    async def put(self, *names: str, who: str = "eva", rule: str = "keep a note") -> None:
        """Put events of a person and route each to one delivery of her box at the CRM."""
        for name in names:
            self._minute += 1
            await self.mailroom.put([event(name, self._minute, who)])
            (lease,) = await self.take(INBOX)
            made = [[f"{name}.0", "crm", "add_note", rule]]
            line = {
                "t": "routed",
                "at": ledger.now(),
                "source": "shop",
                "type": "order.paid",
                "received": f"{DAY}T10:{self._minute:02}:00.000Z",
                "book": "b1",
                "fired": [rule],
                "missed": [],
                "made": made,
            }
            record = {
                "id": f"{name}.0",
                "to": "crm",
                "action": "add_note",
                "rule": rule,
                "path": [0],
                "box": f"box-{who}",
            }
            new = [NewDelivery(f"{name}.0", "crm", (f"box-{who}",), json.dumps(record).encode())]
            await self._settle(lease, "done", line, new=new)

    async def end(self, then: Verdict, code: str = "invalid") -> None:
        """Let the first item of each box of the CRM end: done, dead, hold."""
        for lease in await self.take("crm"):
            item, text = lease.items[0]
            record = json.loads(text)
            now = (await self.mailroom.store.time())[0] * 1000
            info = DeadLetterInfo("crm", item.split(".")[0], code, "said no", lease.box, item, at=now, status=422)
            info = replace(info, action="add_note", rule=record["rule"])
            line = {"t": "attempt", "d": item, "at": ledger.now(), "then": then, "code": code}
            await self._settle(lease, then, line, info=info, doubt=1 if then == "hold" else 0)

    async def fail(self, says: str) -> None:
        """Let the first item of each box of the CRM fail for a reason that concerns the CRM."""
        for lease in await self.take("crm"):
            line = {"t": "attempt", "d": lease.items[0][0], "at": ledger.now(), "then": "wait"}
            await self._settle(lease, "wait", line, wait_ms=1000, attempt=1, says=says)

    async def _settle(self, lease: Lease, then: Verdict, line: dict[str, Any], **more: Any) -> None:
        item = lease.items[0][0]
        name = item.split(".")[0]
        one = Settlement(lease, item, then, name, DAY, line=json.dumps(line), **more)
        await self.mailroom.settle("d1", "s", [one])

    async def die(self, *names: str, who: str = "eva", **more: str) -> None:
        """Let the deliveries of events of a person die."""
        code = more.pop("code", "invalid")
        for name in names:
            await self.put(name, who=who, **more)
            await self.end("dead", code)

    async def waiting(self) -> list[str]:
        """Deliver what waits for the CRM; return it."""
        sent = []
        while leases := await self.take("crm"):
            for lease in leases:
                sent.append(lease.items[0][0])
                await self._settle(lease, "done", {"t": "attempt", "d": sent[-1], "at": ledger.now(), "then": "done"})
        return sent


def stuck(url: str, do: Callable[[Stuck], Coroutine[Any, Any, Any]]) -> Any:
    """Do something with a store; return what it gave."""

    async def run() -> Any:
        async with await Mailroom.open(url) as mailroom:
            try:
                return await do(Stuck(mailroom))
            finally:
                await mailroom.leave("d1")  # or the console may take it for a drain that lives

    return asyncio.run(run())


class StuckConsole:
    """The command line, against one console."""

    def __init__(self, url: str, patch: pytest.MonkeyPatch) -> None:
        self.url = url
        patch.setenv("RELAIS_CONSOLE_URL", url)

    def __call__(self, *words: str, status: int = 0) -> str:
        """Return what a command said."""
        outcome: Result = CliRunner().invoke(cli.relais, list(words))
        assert outcome.exit_code == status, outcome.output
        return outcome.output

    def json(self, *words: str, status: int = 0) -> Any:
        """Return what a command said as JSON."""
        return json.loads(self(*words, "--json", status=status))


def hold(url: str) -> None:
    """Hold Ada's box, with two deliveries in it, and Bob's with one."""

    async def do(it: Stuck) -> None:
        await it.put("a1", "a2", who="ada")
        await it.put("b1", who="bob", rule="keep a contact")
        await it.end("hold", "unresolved")

    stuck(url, do)
