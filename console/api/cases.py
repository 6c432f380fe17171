"""The routes under `/cases`: failures by their cause, and what people say of them; and a test of the alerts.

Comes in: GET to look, POST to say that a case is known, muted or solved. Goes out: JSON. Never touches a dead letter: a
case that is solved leaves those that there are.
"""

import asyncio
import secrets
import time

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api.request import DecisionBody, Json, get_mailroom, get_operator, refuse, takes, write_audit
from mailroom import cases
from mailroom.cases import CaseState, FailureCase, FailureCause
from rules.event_types.base import from_epoch

#: Seconds that a worker may take to say what became of a test alert.
TEST_WAITS = 20.0


class CaseDecision(DecisionBody):
    """Which case, without `rule` those of all rules; `until` (ms): a mute ends by itself then, 0: not."""

    destination: str
    code: str
    rule: str = ""
    until: int = Field(0, ge=0, lt=1 << 53)


class AlertTest(DecisionBody):
    """An empty object."""


async def list_cases(request: Request) -> Response:
    """Answer the cases, the one that failed last first; `state` chooses."""
    wanted = request.query_params.get("state", "")
    now = int(time.time() * 1000)
    found = [describe(case, now) for case in await cases.read(get_mailroom(request))]
    return JSONResponse({"cases": [case for case in found if not wanted or case["state"] == wanted]})


def describe(case: FailureCase, now: int) -> Json:
    """Return a case as JSON. A mute whose time is over is told as `known`: the next failure brings the case back."""
    over = case.state == "muted" and 0 < case.until <= now
    answer: Json = {**case.cause._asdict(), "state": "known" if over else case.state, "since": from_epoch(case.since)}
    answer |= {"until": from_epoch(case.until) if case.until and not over else None, "by": case.by, "why": case.why}
    answer |= {"first": from_epoch(case.first), "last": from_epoch(case.last) if case.last else None}
    return {**answer, "count": case.count}


def _verb(verb: str, state: CaseState) -> Route:
    @takes(CaseDecision)
    async def say(request: Request, decision: CaseDecision) -> Response:
        cause = FailureCause(decision.destination, decision.code, decision.rule)
        await write_audit(request, f"{verb}_case", " | ".join(cause), decision.reason)
        said, now = get_operator(request, decision.reason).decision, int(time.time() * 1000)
        until = decision.until if state == "muted" else 0
        mailroom = get_mailroom(request)
        meant = (
            [cause]
            if cause.rule
            else [each.cause for each in await cases.read(mailroom) if each.cause[:2] == cause[:2]]
        )
        if not [each for each in meant if await cases.change(mailroom, each, state, said, now, until)]:
            return refuse("unknown_case", "no case of this destination, code and rule: relais cases list", 404)
        return JSONResponse({"changed": True})

    return Route(f"/cases/{verb}", say, methods=["POST"])


@takes(AlertTest)
async def try_alerts(request: Request, decision: AlertTest) -> Response:
    """Let a worker tell an alert to where `alerts:` says, and answer what became of it."""
    await write_audit(request, "test_alerts", "alerts", decision.reason)
    mailroom, id = get_mailroom(request), secrets.token_hex(8)
    await cases.ask_for_test(mailroom, id)
    deadline = time.monotonic() + TEST_WAITS
    while time.monotonic() < deadline:
        if said := await cases.read_test(mailroom, id):
            return JSONResponse({"result": said})
        await asyncio.sleep(0.1)
    return refuse("nobody_answers", "no worker has answered within 20 s: do the workers run?", 504)


ROUTES = (
    Route("/cases", list_cases),
    _verb("know", "known"),
    _verb("mute", "muted"),
    _verb("unmute", "known"),
    _verb("solve", "solved"),
    Route("/alerts/test", try_alerts, methods=["POST"]),
)
