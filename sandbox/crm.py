"""A CRM with the generic REST preset.

Comes in: HTTP below `/crm` with a bearer token: contacts (find, create, change), notes and tasks on them, and leads.
Goes out: JSON.
Never rejects a duplicate unless it is told to (`unique`): two creates with one e-mail make two contacts, as the CRMs do
that were measured.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox import rest
from sandbox.accounts import Accounts
from sandbox.calls import VendorCall

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")

#: Stages of a lead, the first one for a new one.
STAGES = ("new", "contacted", "won", "lost")

#: Fields that a search may name, the strongest identity first. They also name a contact in the log.
IDENTITIES = ("email", "external_id", "phone")


class Crm(rest.Api):
    """One CRM."""

    name = "crm"
    prefix = "/crm"

    def __init__(self, accounts: Accounts) -> None:
        self._tokens = (accounts.crm_token, accounts.rest_token)
        #: Told of each contact that was created or changed, and of what was written.
        self.on_write: Callable[[rest.Record, rest.Record], None] = lambda contact, body: None
        self.reset()

    def reset(self) -> None:
        """Start over empty."""
        super().__init__()
        self.contacts = rest.Table("c")
        self.notes = rest.Table("n")
        self.tasks = rest.Table("t")
        self.leads = rest.Table("l")

    def object_of(self, call: VendorCall) -> str | None:
        """Return the contact's strongest identity: of the search, of the body, or of the contact in the path.

        Of a lead its reference.
        """
        parts = call.path.strip("/").split("/")
        if parts[0] == "leads":
            lead = self.leads.records.get(parts[1], {}) if len(parts) > 1 else call.query or call.json_object()
            return f"lead:{lead['reference']}" if lead.get("reference") else None
        if parts[0] != "contacts":
            return None
        if len(parts) > 1:
            return identity(self.contacts.records.get(parts[1], {})) or f"contact:{parts[1]}"
        return identity(call.query if call.method == "GET" else call.json_object())

    def holds(self) -> Mapping[str, Any]:
        """Return contacts, notes, tasks and leads."""
        tables = {"contacts": self.contacts, "notes": self.notes, "tasks": self.tasks, "leads": self.leads}
        return {name: table.all() for name, table in tables.items()}

    def app(self) -> ASGIApp:
        """Return the API."""
        return Starlette(
            routes=[
                Route("/contacts", self._find, methods=["GET"]),
                Route("/contacts", self._create, methods=["POST"]),
                Route("/contacts/{id}", self._show, methods=["GET"]),
                Route("/contacts/{id}", self._change, methods=["PATCH"]),
                Route("/contacts/{id}", self._delete, methods=["DELETE"]),
                Route("/contacts/{id}/notes", self._list_notes, methods=["GET"]),
                Route("/contacts/{id}/notes", self._add_note, methods=["POST"]),
                Route("/contacts/{id}/tasks", self._add_task, methods=["POST"]),
                Route("/leads", self._find_leads, methods=["GET"]),
                Route("/leads", self._create_lead, methods=["POST"]),
                Route("/leads/{id}", self._show_lead, methods=["GET"]),
                Route("/leads/{id}", self._change_lead, methods=["PATCH"]),
            ],
            middleware=[Middleware(rest.Door, tokens=self._tokens, answers=lambda: self.answers)],
            exception_handlers={rest.RestRefusal: rest.refuse, HTTPException: rest.refuse},
        )

    async def _find(self, request: Request) -> Response:
        return self.search(request, self.contacts, IDENTITIES)

    async def _create(self, request: Request) -> Response:
        body = await rest.read_object(request)
        if identity(body) is None:
            raise rest.RestRefusal(422, "A contact needs an email, an external_id or a phone", "email")
        _check(body)
        self.check_unique(self.contacts, body, "email")
        contact = self.contacts.add({"labels": [], **body})
        self.on_write(contact, body)
        return JSONResponse(contact, 201)

    async def _show(self, request: Request) -> Response:
        return JSONResponse(self.contacts.get(request.path_params["id"]))

    async def _change(self, request: Request) -> Response:
        """Change only the fields that were sent; null removes one."""
        contact = self.contacts.get(request.path_params["id"])
        body = await rest.read_object(request)
        _check(body)
        rest.merge(contact, body)
        contact["updated_at"] = rest.now()
        self.on_write(contact, body)
        return JSONResponse(contact)

    async def _delete(self, request: Request) -> Response:
        del self.contacts.records[self.contacts.get(request.path_params["id"])["id"]]
        return Response(status_code=204)

    async def _list_notes(self, request: Request) -> Response:
        contact = self.contacts.get(request.path_params["id"])
        return rest.page(request, self.notes.find(lambda note: note["contact_id"] == contact["id"], 0))

    async def _add_note(self, request: Request) -> Response:
        contact = self.contacts.get(request.path_params["id"])
        body = await rest.read_object(request)
        if not isinstance(body.get("text"), str) or not body["text"].strip():
            raise rest.RestRefusal(422, "A note needs a text", "text")
        return JSONResponse(self.notes.add({**body, "contact_id": contact["id"]}), 201)

    async def _add_task(self, request: Request) -> Response:
        contact = self.contacts.get(request.path_params["id"])
        body = await rest.read_object(request)
        if not isinstance(body.get("subject"), str) or not body["subject"].strip():
            raise rest.RestRefusal(422, "A task needs a subject", "subject")
        return JSONResponse(self.tasks.add({**body, "contact_id": contact["id"]}), 201)

    # -- leads

    async def _find_leads(self, request: Request) -> Response:
        return self.search(request, self.leads, ("reference", "contact_id", "stage"))

    async def _create_lead(self, request: Request) -> Response:
        body = await rest.read_object(request)
        for name in ("reference", "title"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise rest.RestRefusal(422, f"A lead needs a {name}", name)
        self.contacts.get(str(body.get("contact_id")))
        self.check_unique(self.leads, body, "reference")
        return JSONResponse(self.leads.add({"stage": STAGES[0], **body}), 201)

    async def _show_lead(self, request: Request) -> Response:
        return JSONResponse(self.leads.get(request.path_params["id"]))

    async def _change_lead(self, request: Request) -> Response:
        lead = self.leads.get(request.path_params["id"])
        body = await rest.read_object(request)
        if body.get("stage", STAGES[0]) not in STAGES:
            raise rest.RestRefusal(422, f"A stage is one of {', '.join(STAGES)}", "stage")
        rest.merge(lead, body)
        return JSONResponse(lead)


def identity(values: Mapping[str, Any]) -> str | None:
    """Return the strongest identity among values: `email:eva@example.org`."""
    return next((f"{name}:{rest.normal(name, values[name])}" for name in IDENTITIES if values.get(name)), None)


def _check(body: rest.Record) -> None:
    if "id" in body:
        raise rest.RestRefusal(422, "The id is the CRM's own", "id")
    email = body.get("email")
    if email is not None and (not isinstance(email, str) or EMAIL.fullmatch(email) is None):
        raise rest.RestRefusal(422, "The email is not an address", "email")
    labels = body.get("labels", [])
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise rest.RestRefusal(422, "labels must be a list of texts", "labels")
    for name in ("external_id", "first_name", "last_name", "phone"):
        value = body.get(name)
        if value is not None and (not isinstance(value, str) or len(value) > 255):
            raise rest.RestRefusal(422, f"{name} must be a text of at most 255 characters", name)
