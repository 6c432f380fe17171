"""Failures of one cause as a case with a life: new, known, muted until, solved, came back.

Comes in: which deliveries died, by destination, code and rule; what a person says of a case. Goes out: cases, and which
are news. Never holds a value of anybody, and never decides about a delivery.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

from mailroom.client import MailroomClient
from mailroom.ledger import Decision

#: new: nobody has said anything of it. came_back: it was solved, or its mute has ended, and it failed once more.
CaseState = Literal["new", "known", "muted", "solved", "came_back"]

#: What became of a test alert: it was taken, there is no address, one of webhook and mail did not take it, or none did.
TestResult = Literal["told", "log_only", "partly", "refused"]
#: Seconds that a test and its answer live.
TEST_LIVES = 30


class FailureCause(NamedTuple):
    """What failures have in common."""

    destination: str
    code: str
    rule: str

    def encode(self) -> str:
        """Return it as the field of a hash."""
        return json.dumps(self, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class FailureCase:
    """A case."""

    cause: FailureCause
    state: CaseState
    #: Since when it is in this state, ms, and until when it is muted; 0: until somebody says so.
    since: int
    until: int = 0
    #: Who said so, and why; empty: it came about by itself.
    by: str = ""
    why: str = ""
    #: When it failed first and last, ms, and how often.
    first: int = 0
    last: int = 0
    count: int = 0


async def note(mailroom: MailroomClient, seen: Mapping[FailureCause, int], now: int) -> Sequence[FailureCase]:
    """Note failures (cause -> how many), and return the cases of which people should hear. Raises StoreUnavailable."""
    found = {case.cause: case for case in await _read(mailroom, [cause.encode() for cause in seen])}
    news = []
    pipe: Any = mailroom.store.pipeline(transaction=True)
    for cause, count in seen.items():
        before = found.get(cause)
        if before is None:
            case = FailureCase(cause, "new", now, first=now)
            pipe.hsetnx(mailroom.key("cases"), cause.encode(), _encode(case))
            news.append(replace(case, last=now, count=count))
        elif before.state == "solved" or (before.state == "muted" and 0 < before.until <= now):
            case = replace(before, state="came_back", since=now, until=0, by="", why="")
            pipe.hset(mailroom.key("cases"), cause.encode(), _encode(case))
            news.append(replace(case, last=now, count=before.count + count))
        pipe.hincrby(mailroom.key("case_counts"), cause.encode(), count)
        pipe.hset(mailroom.key("case_last"), cause.encode(), now)
    await mailroom.read(pipe.execute())
    return news


async def read(mailroom: MailroomClient) -> Sequence[FailureCase]:
    """Return all cases, the one that failed last first. Raises StoreUnavailable."""
    fields = await mailroom.read(mailroom.store.hkeys(mailroom.key("cases")))
    found = await _read(mailroom, [field.decode() for field in fields])
    return sorted(found, key=lambda case: -case.last)


async def change(
    mailroom: MailroomClient, cause: FailureCause, state: CaseState, decision: Decision, now: int, until: int = 0
) -> bool:
    """Say of a case that it is known, muted (`until`, ms) or solved. False: there is none. Raises StoreUnavailable."""
    for case in await _read(mailroom, [cause.encode()]):
        said = replace(case, state=state, since=now, until=until, by=decision.by, why=decision.why)
        await mailroom.read(mailroom.store.hset(mailroom.key("cases"), cause.encode(), _encode(said)))
        return True
    return False


async def _read(mailroom: MailroomClient, fields: Sequence[str]) -> list[FailureCase]:
    if not fields:
        return []
    pipe: Any = mailroom.store.pipeline(transaction=False)
    for name in ("cases", "case_counts", "case_last"):
        pipe.hmget(mailroom.key(name), *fields)
    answers = zip(fields, *(await mailroom.read(pipe.execute())), strict=True)
    return [
        FailureCase(FailureCause(*json.loads(field)), **json.loads(text), count=int(count or 0), last=int(last or 0))
        for field, text, count, last in answers
        if text is not None
    ]


def _encode(case: FailureCase) -> str:
    told = asdict(case)
    for name in ("cause", "count", "last"):
        del told[name]
    return json.dumps(told, ensure_ascii=False)


# -- a test of the alerts: a console asks, and one worker of all answers


async def ask_for_test(mailroom: MailroomClient, id: str) -> None:
    """Ask the workers to tell an alert. Raises StoreUnavailable."""
    await mailroom.read(mailroom.store.set(mailroom.key("alert_test"), id, ex=TEST_LIVES))


async def take_test(mailroom: MailroomClient) -> str:
    """Return the test that this worker is to answer, '' where there is none. Raises StoreUnavailable."""
    key = mailroom.key("alert_test")
    id = await mailroom.read(mailroom.store.get(key))
    return id.decode() if id is not None and await mailroom.read(mailroom.store.delete(key)) else ""


async def answer_test(mailroom: MailroomClient, id: str, said: TestResult) -> None:
    """Say what became of a test. Raises StoreUnavailable."""
    await mailroom.read(mailroom.store.set(mailroom.key(f"alert_tested:{id}"), said, ex=TEST_LIVES))


async def read_test(mailroom: MailroomClient, id: str) -> str:
    """Return what became of a test, '' as long as nobody has said. Raises StoreUnavailable."""
    said = await mailroom.read(mailroom.store.get(mailroom.key(f"alert_tested:{id}")))
    return "" if said is None else str(said.decode())
