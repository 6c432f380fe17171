"""Every route against every role, without a store: who may not use it never reaches its handler."""

import asyncio
import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.access import Actor, Role
from console.api import app, permissions

#: What each role may not, route by route: the table as people understand it.
SEEN_BY_ALL = ("/events", "/dead", "/rooms", "/metrics", "/readyz", "/stats", "/sources", "/book/coverage")


def status(name: str, actor: Actor) -> tuple[int, str]:
    """Ask a guarded route whose handler answers 200, whatever it is."""

    async def handle(_: Request) -> Response:
        return JSONResponse({"error": ""})

    async def ask() -> Response:
        request = Request({"type": "http", "method": "GET", "headers": [], "state": {"actor": actor}})
        method, _, path = name.rpartition(" ")
        guarded = permissions.guard(Route(path, handle, methods=[method or "GET"]))
        answer: Response = await guarded.endpoint(request)
        return answer

    said = asyncio.run(ask())
    return said.status_code, json.loads(bytes(said.body))["error"]


def test_every_route() -> None:
    """The table knows each route, and no other one."""
    assert sorted(permissions.NEEDED) == sorted(permissions.name(route) for route in app.ROUTES)
    for path, needed in permissions.NEEDED.items():
        for role in Role:
            expected = (200, "") if needed is None or role.may(needed.role) else (403, "not_allowed")
            assert status(path, Actor("eva", role, payloads=True)) == expected, (path, role)


def test_what_changes_something() -> None:
    """A viewer changes nothing and searches for nobody; only an admin says who may what, and forgets somebody."""
    needed = {path: one.role for path, one in permissions.NEEDED.items() if one is not None}
    for route in app.ROUTES:
        if "POST" in (route.methods or ()) or route.path.startswith("/people"):
            assert needed[permissions.name(route)] > Role.VIEWER, route.path
    assert all(needed[path] is Role.VIEWER for path in SEEN_BY_ALL)
    assert {path for path, role in needed.items() if role is Role.ADMIN} == {
        path for path in needed if path.startswith(("/users", "/tokens", "/audit", "/people/forget", "/forgotten"))
    }


@pytest.mark.parametrize("role", list(Role))
def test_payloads(role: Role) -> None:
    """Without the right apart nobody sees a payload, whatever the role."""
    looks = [path for path in permissions.NEEDED if path.endswith("/look")]
    assert len(looks) == 4
    expected = (403, "no_payloads") if role.may(Role.OPERATOR) else (403, "not_allowed")
    assert {status(path, Actor("eva", role)) for path in looks} == {expected}


def test_unknown_route() -> None:
    """A route that nobody has said anything about cannot be served."""
    with pytest.raises(KeyError):
        permissions.guard(Route("/new", lambda _: Response()))
