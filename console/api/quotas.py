"""The route `/quotas`: what the keys of vendors were used for, what is left of them, and how long that lasts.

Comes in: GET. Goes out: JSON; a key is called by the name of its reference. Never shows a key, not even hashed.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api.request import Json, get_mailroom
from mailroom import QuotaState
from mailroom.sentences import say, spell_out
from rules.event_types.base import from_epoch


def explain(quota: QuotaState) -> str:
    """Return why usual deliveries of a key wait; empty where they do not."""
    if not quota.ends:
        return say("quota_unknown", key=quota.name or say("its_key"))
    if not quota.used_up:
        return ""
    used = {"used": quota.used, "limit": quota.limit, "key": quota.name, "until": from_epoch(quota.ends)}
    return say("quota_reserved", **used, left=quota.left) if quota.left else say("quota_used", **used)


def as_json(quota: QuotaState) -> Json:
    """Return a quota as JSON."""
    told: Json = {
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
    return {**spell_out(told)}


async def list_quotas(request: Request) -> Response:
    """Answer every key that has a quota."""
    found = await get_mailroom(request).quotas()
    return JSONResponse({"quotas": [as_json(quota) for quota in found]})


ROUTES = (Route("/quotas", list_quotas),)
