"""The routes under `/users` and `/tokens`: who may use the console, and what each may do.

Comes in: GET to list, POST to add, remove, reset. Goes out: JSON; a link or a token once, to whoever made it. Never
shows a hash, and never a token a second time.
"""

from dataclasses import asdict

from pydantic import Field, field_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.access import NamedToken, NameTaken, Role, Sessions, Tokens, User, Users
from console.access.users import NAME
from console.api.request import DecisionBody, Json, refuse, takes, write_audit
from rules.event_types.base import from_epoch


class NewActor(DecisionBody):
    """A person or a token to add."""

    name: str = Field(pattern=f"^{NAME.pattern}$")
    role: str = Role.VIEWER.word
    payloads: bool = False

    @field_validator("role")
    @classmethod
    def _is_role(cls, word: str) -> str:
        Role.read(word)
        return word


class NamedRequest(DecisionBody):
    """Whom it is about."""

    name: str = Field(min_length=1, max_length=60)


def _users(request: Request) -> Users:
    users: Users = request.app.state.users
    return users


def _tokens(request: Request) -> Tokens:
    tokens: Tokens = request.app.state.tokens
    return tokens


def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


async def list_users(request: Request) -> Response:
    """Answer the named people."""
    return JSONResponse({"users": [describe_user(user) for user in await _users(request).all()]})


def describe_user(user: User) -> Json:
    """Return a named person as JSON, without the hash of the pass phrase."""
    answer: Json = {"name": user.name, "role": user.role.word, "payloads": user.payloads}
    answer |= {"added": from_epoch(user.added), "last_sign_in": from_epoch(user.last) if user.last else None}
    return {**answer, "may_sign_in": bool(user.phrase or user.subject)}


@takes(NewActor)
async def add_user(request: Request, decision: NewActor) -> Response:
    """Add a named person, or give one another role; answer the link by which a new one sets a pass phrase."""
    await write_audit(request, "add_user", _tell(decision), decision.reason)
    role = Role.read(decision.role)
    try:
        await _users(request).add(decision.name, role, payloads=decision.payloads)
    except NameTaken:
        changed = await _users(request).change(decision.name, role, payloads=decision.payloads)
        return JSONResponse({"name": decision.name, "changed": changed, "link": None})
    link = await _sessions(request).invite(decision.name)
    return JSONResponse({"name": decision.name, "changed": True, "link": _path(link)})


@takes(NamedRequest)
async def remove_user(request: Request, decision: NamedRequest) -> Response:
    """Let a named person in no more, and end the sessions."""
    await write_audit(request, "remove_user", decision.name, decision.reason)
    return JSONResponse({"changed": await _sessions(request).remove(decision.name)})


@takes(NamedRequest)
async def reset_user(request: Request, decision: NamedRequest) -> Response:
    """Take a named person's pass phrase and sessions; answer the link to set another one."""
    await write_audit(request, "reset_user", decision.name, decision.reason)
    link = await _sessions(request).reset(decision.name)
    if link is None:
        return refuse("unknown_user", "nobody of this name has a pass phrase: relais users list", 404)
    return JSONResponse({"link": _path(link)})


@takes(NewActor)
async def make_link(request: Request, decision: NewActor) -> Response:
    """Answer a link by which somebody comes in once, without a pass phrase."""
    await write_audit(request, "make_link", _tell(decision), decision.reason)
    if await _users(request).find(decision.name) is not None:
        return refuse("named_user", "who has a name signs in by it; a lost pass phrase: relais users reset", 409)
    role = Role.read(decision.role)
    link = await _sessions(request).invite(decision.name, role=role, payloads=decision.payloads)
    return JSONResponse({"link": _path(link)})


async def list_tokens(request: Request) -> Response:
    """Answer the named tokens."""
    return JSONResponse({"tokens": [describe_token(token) for token in await _tokens(request).all()]})


def describe_token(token: NamedToken) -> Json:
    """Return a named token as JSON."""
    last = from_epoch(token.last_used) if token.last_used else None
    return {**asdict(token), "role": token.role.word, "added": from_epoch(token.added), "last_used": last}


@takes(NewActor)
async def add_token(request: Request, decision: NewActor) -> Response:
    """Make a named token, and answer it: this is the only time."""
    await write_audit(request, "add_token", _tell(decision), decision.reason)
    try:
        made = await _tokens(request).add(decision.name, Role.read(decision.role), payloads=decision.payloads)
    except NameTaken:
        return refuse("known_token", "a token of this name is there; remove it first: relais tokens remove", 409)
    return JSONResponse({"name": decision.name, "token": made})


@takes(NamedRequest)
async def remove_token(request: Request, decision: NamedRequest) -> Response:
    """Let a named token open nothing any more."""
    await write_audit(request, "remove_token", decision.name, decision.reason)
    return JSONResponse({"changed": await _tokens(request).remove(decision.name)})


def _tell(decision: NewActor) -> str:
    return f"{decision.name} as {decision.role}{', payloads' if decision.payloads else ''}"


def _path(link: str) -> str:
    return f"/ui/enter/{link}"


ROUTES = (
    Route("/users", list_users),
    Route("/users/add", add_user, methods=["POST"]),
    Route("/users/remove", remove_user, methods=["POST"]),
    Route("/users/reset", reset_user, methods=["POST"]),
    Route("/users/link", make_link, methods=["POST"]),
    Route("/tokens", list_tokens),
    Route("/tokens/add", add_token, methods=["POST"]),
    Route("/tokens/remove", remove_token, methods=["POST"]),
)
