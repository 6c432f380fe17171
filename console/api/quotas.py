"""The route `/quotas`: what the keys of vendors were used for, what is left of them, and how long that lasts.

Comes in: GET. Goes out: JSON; a key is called by the name of its reference. Never shows a key, not even hashed.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api.request import Json, get_mailroom
from mailroom import QuotaState
from rules.event_types.base import from_epoch

#: Why a key is not used although requests may be left of it.
NO_PAGE = "nobody has said which day it is there: is a worker running, and do its clock and the store's agree?"


def explain(quota: QuotaState) -> str:
    """Return why usual deliveries of a key wait; empty where they do not."""
    if not quota.ends:
        return f"the quota of {quota.name or 'its key'} is not known: {NO_PAGE}"
    if not quota.used_up:
        return ""
    kept = f", {quota.left} are kept for urgent ones" if quota.left else ""
    return f"{quota.used} of {quota.limit} requests of {quota.name} are used until {from_epoch(quota.ends)}{kept}"


def as_json(quota: QuotaState) -> Json:
    """Return a quota as JSON."""
    return {
        "credential": quota.name,
        "used": quota.used,
        "limit": quota.limit,
        "left": quota.left,
        "reserve": quota.reserve,
        "used_up": quota.used_up,
        "gone_at": from_epoch(quota.gone_at) if quota.gone_at else None,
        "resets_at": from_epoch(quota.ends) if quota.ends else None,
        "destinations": list(quota.rooms),
        "why": explain(quota) or None,
    }


async def list_quotas(request: Request) -> Response:
    """Answer every key that has a quota."""
    found = await get_mailroom(request).quotas()
    return JSONResponse({"quotas": [as_json(quota) for quota in found]})


ROUTES = (Route("/quotas", list_quotas),)
