"""Pipedrive: persons with labels and marketing status, notes, tasks, leads, the stages of deals, links; a look-up.

Takes the actions of `contacts`; returns Done or raises Failed.
Never creates before it has searched, since nothing is unique there; never takes a hit of the search by its word, and
never puts the token into an address.

A lead or deal of ours has its reference in a text field of deals (`reference_field`), which leads share and a deal that
is made of a lead keeps.

Facts: API v2, and v1 for leads and notes, as the vendor's own client has them (docs/destinations/pipedrive.md).
"""

import html
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import Field

from rules import addresses
from rules.catalogue import DestinationKind, Name, StandIn
from rules.secret import Secret
from rules.source.units import Rate, Zone
from workers.destinations.base import (
    Attempt,
    Base,
    Client,
    DestinationOptions,
    DestinationType,
    JsonVisit,
    Memory,
    Reveal,
    dig,
    drop_nulls,
    fail_unresolved,
    list_names,
    open_base,
)
from workers.destinations.classify import ErrorRule, classify, until_midnight
from workers.destinations.contacts import (
    ADD_LABEL,
    ADD_NOTE,
    ADD_TASK,
    CONTACT,
    CREATE_LEAD,
    LINK,
    MOVE_DEAL,
    REMOVE_LABEL,
    SET_CONSENT,
    UPSERT_CONTACT,
    AddNote,
    AddTask,
    CallerArguments,
    ContactArguments,
    CreateLead,
    LabelContact,
    Link,
    MoveDeal,
    SetConsent,
    UpsertContact,
)
from workers.destinations.finding import (
    BELIEVED,
    FoundObject,
    ObjectFinder,
    VendorObjects,
    equals,
)
from workers.http import HiddenHeaders, Http, HttpAnswer, HttpExchange, build_url
from workers.outcome import Done, Failed

Record = Mapping[str, Any]

#: Whoever goes on after a 429 gets this page of the network in front ("Rate limiting").
LOCKED_OUT = ErrorRule.model_validate(
    {"status": [403], "content_type": "text/html", "is": "limited", "code": "locked_out"}
)
#: Seconds to leave it alone then; how long it lasts is not documented.
LOCKED_FOR = 300.0

#: Where every answer says what is left of the company's tokens of the day.
DAILY_LEFT = "x-daily-ratelimit-token-remaining"

#: Key of a custom field.
FieldKey = str | None


class PipedriveOptions(DestinationOptions):
    """What ops may write under a destination of kind `pipedrive`."""

    base: Base = Field(
        default="https://api.pipedrive.com", description="Address of Pipedrive, or of the company there."
    )
    api_token: Secret = Field(description="Token of a user; it may do what the user may.")
    external_id_field: FieldKey = Field(
        default=None,
        pattern=r"^[0-9a-f]{40}$",
        description="Key of the text field of persons that holds external ids; without it external_id is refused.",
    )
    reference_field: FieldKey = Field(
        default=None,
        pattern=r"^[0-9a-f]{40}$",
        description="Key of the text field of deals and leads that holds references; what is about leads needs it.",
    )
    task_type: str = Field(default="task", min_length=1, description="Type of the activities that add_task makes.")
    time_zone: Zone = Field(default="UTC", description="Where the day of the company's token budget begins.")
    find_lag: float = Field(
        default=5.0, ge=0, le=3600, description="Seconds until their search finds what was just created."
    )


_LIMITS = "tokens of a day per company (write 5, search 20); searches 10 in 2 s"
_PERSONS = "token of a user who may see and change persons"
_LEADS = "token of a user who may see and change leads and deals; a text field for the reference"

KIND = DestinationKind(
    name="pipedrive",
    about="Pipedrive as CRM.",
    options=PipedriveOptions,
    actions={
        kind.name: kind
        for kind in (
            UPSERT_CONTACT.adopt(
                "found again",
                rights=_PERSONS,
                limits=_LIMITS,
                refuses={"address": "a person has an address only while contact sync is on"},
            ),
            SET_CONSENT.adopt(
                "sent again",
                rights=f"{_PERSONS}; Campaigns",
                limits="a marketing status can be changed once",
                refuses={"tracking": "a person has no field for it"},
            ),
            ADD_NOTE.adopt("held", rights=_PERSONS, limits=_LIMITS),
            ADD_LABEL.adopt("sent again", rights=_PERSONS, limits=_LIMITS),
            REMOVE_LABEL.adopt("sent again", rights=_PERSONS, limits=_LIMITS),
            CREATE_LEAD.adopt("found again", rights=_LEADS, limits=_LIMITS),
            MOVE_DEAL.adopt("sent again", rights=_LEADS, limits=_LIMITS),
            ADD_TASK.adopt("held", rights=_PERSONS, limits=_LIMITS),
            LINK.adopt("sent again", rights=_PERSONS, limits=_LIMITS),
            CONTACT.adopt(None, rights=_PERSONS, limits=_LIMITS),
        )
    },
    limit=Rate(4, 1_000),  # Of the lowest plan: 10 searches in two seconds, of which each delivery sends one or two.
    stand_in=StandIn(
        {"base": "{sandbox}/pipedrive", "api_token": "${SANDBOX_PIPEDRIVE_API_TOKEN}"},
        frozenset({"external_id_field", "reference_field", "task_type", "time_zone", "find_lag"}),
    ),
)


class PipedriveClient(Client[PipedriveOptions]):
    """Carries out the actions of kind `pipedrive`."""

    def __init__(self, name: str, options: PipedriveOptions, reveal: Reveal, http: Http, memory: Memory) -> None:
        super().__init__(name, options, reveal, http, memory)
        self._base = open_base(options.base, reveal)
        self._headers = HiddenHeaders({"x-api-token": reveal(options.api_token)})

    def visit(self, delivery: Attempt) -> "PipedriveVisit":
        """Return what carries the requests of a delivery."""
        return PipedriveVisit(self._http.exchange(), delivery, self._base, self._headers, self._options.time_zone)

    # Persons

    async def _upsert_contact(self, visit: "PipedriveVisit", arguments: UpsertContact) -> Done:
        names = UPSERT_CONTACT.list_strong_names(arguments)
        wanted = list_names(("external_id", arguments.external_id), ("email", arguments.new_email or arguments.email))
        finder = self._person_finder(visit, arguments.external_id, believed=0)  # Lists are replaced as a whole.
        found = await finder.find(names)
        if found is None:
            id = await visit.create("/api/v2/persons", new_person(arguments, self._options))
            await finder.learn([*wanted, *list_names(("phone", arguments.phone))], id, gone=names)
            return Done(result={"id": id, "created": True}, status=visit.status)
        await finder.meet(found)
        person = await self._read_whole(visit, found)
        if changes := change_person(person, arguments, self._options):
            await visit.change("/api/v2/persons/{id}", found.id, changes)
        if found.news or not found.names.issuperset(wanted):
            await finder.learn(wanted, found.id, gone=names)
        note = "" if changes else "nothing_to_write"
        return Done(result={"id": found.id, "created": False}, note=note, status=visit.status)

    async def _set_consent(self, visit: "PipedriveVisit", arguments: SetConsent) -> Done:
        if arguments.newsletter is None:
            return Done(note="nothing_to_write")
        names = [Name("email", arguments.email)]
        finder = self._person_finder(visit)
        if arguments.newsletter:
            found = [one] if (one := await finder.find(names)) is not None else []
        else:
            found = await finder.find_all(names)  # Whoever has the address: it is they who withdraw it.
        if not found:
            return Done(note="no_such_contact", status=visit.status)
        await finder.meet(*found)
        status = "subscribed" if arguments.newsletter else "unsubscribed"
        hidden = [each.id for each in found if not await visit.set_marketing_status(each.id, status)]
        if hidden:
            hint = "the marketing status stayed: it can be changed once, and needs Campaigns and an address"
            raise Failed("transient", "not_in_force", status=visit.status, hint=hint)
        if len(found) == 1 and found[0].news:
            await finder.learn(names, found[0].id)
        return Done(status=visit.status)

    async def _contact(self, visit: "PipedriveVisit", arguments: CallerArguments) -> Done:
        finder = self._person_finder(visit, arguments.external_id, believed=0)
        found = await finder.find(CONTACT.list_strong_names(arguments))
        if found is None:
            return Done(result={"found": False}, status=visit.status)
        person = await self._read_whole(visit, found)
        key = self._options.external_id_field
        result = {
            "found": True,
            "id": found.id,
            "email": next(iter(list_values(person, "emails")), None),
            "phone": next(iter(list_values(person, "phones")), None),
            "external_id": dig(person, f"custom_fields.{key}") if key else None,
            "first_name": person.get("first_name"),
            "last_name": person.get("last_name"),
        }
        return Done(result=result, status=visit.status)

    async def _add_label(self, visit: "PipedriveVisit", arguments: LabelContact) -> Done:
        return await self._label(visit, arguments, put=True)

    async def _remove_label(self, visit: "PipedriveVisit", arguments: LabelContact) -> Done:
        return await self._label(visit, arguments, put=False)

    async def _label(self, visit: "PipedriveVisit", arguments: LabelContact, *, put: bool) -> Done:
        person = await self._find_person(visit, arguments)
        if person is None:
            return Done(note="no_such_contact", status=visit.status)
        id, result = await visit.find_label(arguments.label), {"id": str(person["id"])}
        has = [each for each in person.get("label_ids") or () if isinstance(each, int)]
        if (id in has) is put:
            return Done(result=result, note="already_so", status=visit.status)
        labels = [*has, id] if put else [each for each in has if each != id]
        shown = await visit.change("/api/v2/persons/{id}", result["id"], {"label_ids": labels})
        if (id in (shown.get("label_ids") or ())) is not put:
            raise Failed("transient", "not_in_force", status=visit.status, hint="the label is not shown as asked for")
        return Done(result=result, status=visit.status)

    async def _find_person(self, visit: "PipedriveVisit", arguments: ContactArguments) -> Record | None:
        """Return a person as it is now, ready to be written; None: there is none."""
        names = list_names(("external_id", arguments.external_id), ("email", arguments.email))
        finder = self._person_finder(visit, arguments.external_id, believed=0)
        found = await finder.find(names)
        if found is None:
            return None
        await finder.meet(found)
        if found.news:
            await finder.learn(names, found.id)
        return await self._read_whole(visit, found)

    async def _read_whole(self, visit: "PipedriveVisit", found: FoundObject) -> Record:
        """Return a person with all fields: a hit of the search has a few only."""
        if isinstance(dig(found.record, "custom_fields"), Mapping):
            return dict(found.record)
        person = await visit.get("/api/v2/persons/{id}", found.id)
        if person is None:
            raise Failed("transient", "stale_id", status=404, hint="the person is gone; the next attempt searches")
        return person

    async def _find_or_create_person(
        self, visit: "PipedriveVisit", arguments: AddNote | CallerArguments, names: Sequence[Name]
    ) -> str:
        """Return the person that something is added to; a bare one is made for whom nobody knows."""
        external_id = getattr(arguments, "external_id", None)
        finder = self._person_finder(visit, external_id)
        name = arguments.email or arguments.phone or external_id
        custom = {self._options.external_id_field: external_id} if external_id else {}
        body = {"name": name, **new_reach(arguments.email, arguments.phone), "custom_fields": custom}
        given = list_names(("external_id", external_id), ("email", arguments.email), ("phone", arguments.phone))

        async def make() -> FoundObject:
            return FoundObject(
                await visit.create("/api/v2/persons", {key: value for key, value in body.items() if value})
            )

        # A number is a name only where nothing else is: colleagues share one.
        found, _ = await finder.find_or_create(names, make, given)
        return found.id

    def _person_finder(
        self, visit: "PipedriveVisit", external_id: str | None = None, *, believed: int = BELIEVED
    ) -> ObjectFinder:
        if external_id is not None and self._options.external_id_field is None:
            raise _fail_not_set_up("external_id_field", "a text field of persons that holds external ids")
        return ObjectFinder(PipedrivePersons(visit, self._options), self._memory, visit.delivery, believed=believed)

    # What is added to persons

    async def _add_note(self, visit: "PipedriveVisit", arguments: AddNote) -> Done:
        if visit.delivery.doubtful:
            raise fail_unresolved("the note may have been written: look at the person in Pipedrive")
        person = await self._find_or_create_person(visit, arguments, ADD_NOTE.list_strong_names(arguments))
        body = {"content": write_html(arguments.text) or "-", "person_id": int(person)}
        return Done(result={"id": await visit.create("/api/v1/notes", body), "contact": person}, status=visit.status)

    async def _add_task(self, visit: "PipedriveVisit", arguments: AddTask) -> Done:
        if visit.delivery.doubtful:
            raise fail_unresolved("the task may have been made: look at the person in Pipedrive")
        person = await self._find_or_create_person(visit, arguments, ADD_TASK.list_strong_names(arguments))
        body = {
            "subject": arguments.subject,
            "type": self._options.task_type,
            "due_date": arguments.due.isoformat() if arguments.due is not None else None,
            "note": write_html(arguments.text) if arguments.text else None,
            "participants": [{"person_id": int(person), "primary": True}],
        }
        id = await visit.create("/api/v2/activities", drop_nulls(body))
        return Done(result={"id": id, "contact": person}, status=visit.status)

    # Leads and deals

    async def _create_lead(self, visit: "PipedriveVisit", arguments: CreateLead) -> Done:
        key, name = self._reference_key(), Name("lead", arguments.reference)
        finder = self._lead_finder(visit)
        person: str | None = None

        async def make() -> FoundObject:
            nonlocal person
            names = [each for each in CREATE_LEAD.list_strong_names(arguments) if each != name]
            person = await self._find_or_create_person(visit, arguments, names)
            amount = None if arguments.amount is None else float(arguments.amount)
            body = {
                **drop_nulls(arguments.custom),
                "title": arguments.title,
                "person_id": int(person),
                "value": None if amount is None else {"amount": amount, "currency": arguments.currency},
                "origin_id": arguments.reference,
                key: arguments.reference,
            }
            return FoundObject(await visit.create("/api/v1/leads", drop_nulls(body)))

        found, created = await finder.find_or_create([name], make, [name])
        id = found.id
        if not created:
            person = str(dig(found.record, "person_id") or "") or None
        if arguments.text and not id.isdigit():
            await self._describe(visit, id, write_html(arguments.text), known=not created)
        note = "" if created else "already_there"
        return Done(result={"id": id, "contact": person, "created": created}, note=note, status=visit.status)

    async def _describe(self, visit: "PipedriveVisit", lead: str, text: str, *, known: bool) -> None:
        """Write the text of a lead, which is a note there, unless it has it. `known`: the lead was there before."""
        if known:
            for note in await visit.list("/api/v1/notes", {"lead_id": lead}):
                if read_html(str(note.get("content"))) == read_html(text):
                    return
        await visit.create("/api/v1/notes", {"content": text, "lead_id": lead})

    async def _move_deal(self, visit: "PipedriveVisit", arguments: MoveDeal) -> Done:
        self._reference_key()
        name = Name("lead", arguments.reference)
        finder = self._lead_finder(visit, believed=0)
        found = await finder.find([name])
        if found is None:
            return Done(note="no_such_lead", status=visit.status)
        if not found.id.isdigit():
            hint = "it is a lead still, which has no stages: make a deal of it in Pipedrive"
            raise Failed("permanent", "still_a_lead", status=visit.status, hint=hint)
        await finder.meet(found)
        if found.news:
            await finder.learn([name], found.id)
        stage = await visit.find_stage(arguments.stage, dig(found.record, "pipeline_id"))
        result = {"id": found.id, "contact": str(dig(found.record, "person_id") or "") or None, "created": False}
        if dig(found.record, "stage_id") == stage:
            return Done(result=result, note="already_so", status=visit.status)
        shown = await visit.change("/api/v2/deals/{id}", found.id, {"stage_id": stage})
        if shown.get("stage_id") != stage:
            raise Failed("transient", "not_in_force", status=visit.status, hint="the deal does not show the stage")
        return Done(result=result, status=visit.status)

    async def _link(self, visit: "PipedriveVisit", arguments: Link) -> Done:
        person = await self._find_person(visit, arguments)
        if person is None:
            return Done(note="no_such_contact", status=visit.status)
        id = int(person["id"])
        if arguments.lead is not None:
            self._reference_key()
            found = await self._lead_finder(visit).find([Name("lead", arguments.lead)])
            if found is None:
                return Done(note="no_such_lead", status=visit.status)
            template = "/api/v2/deals/{id}" if found.id.isdigit() else "/api/v1/leads/{id}"
            await visit.change(template, found.id, {"person_id": id})
            return Done(status=visit.status)
        company = await visit.find_organization(arguments.company or "")
        if company is None:
            return Done(note="no_such_company", status=visit.status)
        if person.get("org_id") == company:
            return Done(note="already_so", status=visit.status)
        await visit.change("/api/v2/persons/{id}", str(id), {"org_id": company})
        return Done(status=visit.status)

    def _lead_finder(self, visit: "PipedriveVisit", *, believed: int = BELIEVED) -> ObjectFinder:
        return ObjectFinder(PipedriveLeads(visit, self._options), self._memory, visit.delivery, believed=believed)

    def _reference_key(self) -> str:
        if self._options.reference_field is None:
            raise _fail_not_set_up("reference_field", "a text field of deals that holds references")
        return self._options.reference_field

    methods = MappingProxyType(
        {
            "upsert_contact": _upsert_contact,
            "set_consent": _set_consent,
            "add_note": _add_note,
            "add_label": _add_label,
            "remove_label": _remove_label,
            "create_lead": _create_lead,
            "move_deal": _move_deal,
            "add_task": _add_task,
            "link": _link,
            "contact": _contact,
        }
    )


DESTINATION = DestinationType(KIND, PipedriveClient)


class PipedriveVisit(JsonVisit):
    """The requests of one delivery to one company."""

    def __init__(
        self, exchange: HttpExchange, delivery: Attempt, base: str, headers: Mapping[str, str], zone: str
    ) -> None:
        super().__init__(exchange, delivery, base, headers)
        self._zone = zone

    async def search(self, kind: str, term: str, field: str, *, exact: bool = True) -> list[Record]:
        """Return the items that a search of v2 finds (`persons`, `organizations`, `leads`, `deals`)."""
        query = {"term": term, "fields": field, "exact_match": "true" if exact else "false"}
        answer = await self._send("GET", build_url(self._base, "/api/v2/{kind}/search", query, kind=kind))
        found = dig(answer.json(), "data.items")
        if not isinstance(found, list):
            raise Failed("transient", "bad_answer", status=answer.status, hint="a search did not answer with a list")
        items = [dig(hit, "item") for hit in found]
        return [item for item in items if isinstance(item, Mapping) and _is_id(item.get("id"))]

    async def list(self, path: str, query: Mapping[str, str]) -> list[Record]:
        """Return the records of a list, its first page."""
        answer = await self._send("GET", build_url(self._base, path, query))
        found = dig(answer.json(), "data")
        if found is not None and not isinstance(found, list):
            raise Failed("transient", "bad_answer", status=answer.status, hint="a list did not answer with one")
        return [record for record in found or () if isinstance(record, Mapping)]

    async def get(self, template: str, id: str, query: Mapping[str, str] | None = None) -> Record | None:
        """Return a record, None where there is none or where it is deleted."""
        answer = await self._try_send("GET", build_url(self._base, template, query, id=id))
        if answer.status in (404, 410):
            return None
        self._check(answer)
        record = dig(answer.json(), "data")
        if not isinstance(record, Mapping) or str(record.get("id")) != id:
            raise Failed("transient", "bad_answer", status=answer.status, hint="another record came back")
        return None if record.get("is_deleted") is True else record

    async def create(self, path: str, body: Record) -> str:
        """Create a record and return its id."""
        answer = await self._send("POST", build_url(self._base, path), body, creates=True)
        id = dig(answer.json(), "data.id")
        if not _is_id(id):
            raise Failed("ambiguous", "no_id", status=answer.status, hint="something was made, but no id came back")
        return str(id)

    async def change(self, template: str, id: str, body: Record) -> Record:
        """Write fields of a record and return it."""
        answer = await self._try_send("PATCH", build_url(self._base, template, id=id), body)
        if answer.status in (404, 410):
            hint = "the record is gone; the next attempt searches"
            raise Failed("transient", "stale_id", status=answer.status, hint=hint)
        self._check(answer)
        record = dig(answer.json(), "data")
        if not isinstance(record, Mapping) or str(record.get("id")) != id:
            raise Failed("transient", "bad_answer", status=answer.status, hint="it did not answer with the record")
        return record

    async def set_marketing_status(self, id: str, status: str) -> bool:
        """Write whether a person may be written to; False: it is not shown."""
        shown = await self.change("/api/v2/persons/{id}", id, {"marketing_status": status})
        if shown.get("marketing_status") != status:
            shown = await self.get("/api/v2/persons/{id}", id, {"include_fields": "marketing_status"}) or {}
        return bool(shown.get("marketing_status") == status)

    async def find_label(self, label: str) -> int:
        """Return the id of a label of persons, by its name or id."""
        field = await self.get_field("label_ids")
        for option in dig(field, "options") or ():
            if label.lower() in (str(dig(option, "label")).lower(), str(dig(option, "id"))):
                return int(option["id"])
        raise Failed("permanent", "unknown_label", status=self.status, hint="Pipedrive has no such label for persons")

    async def get_field(self, code: str) -> Any:
        """Return a field of persons with its options."""
        answer = await self._send("GET", build_url(self._base, "/api/v2/personFields/{code}", code=code))
        return dig(answer.json(), "data")

    async def find_stage(self, stage: str, pipeline: Any) -> int:
        """Return the id of a stage, by its id or by its name: that of the pipeline goes before others."""
        stages = await self.list("/api/v2/stages", {"limit": "500"})
        named = [
            each
            for each in stages
            if isinstance(each.get("id"), int) and stage.lower() in (str(each.get("name")).lower(), str(each["id"]))
        ]
        here = [each for each in named if each.get("pipeline_id") == pipeline] or named
        if len(here) == 1:
            return int(here[0]["id"])
        code, what = (
            ("unknown_stage", "no such stage") if not here else ("several_stages", "several stages of that name")
        )
        raise Failed("permanent", code, status=self.status, hint=f"Pipedrive has {what}")

    async def find_organization(self, name: str) -> int | None:
        """Return the id of the organisation with a name, None where there is none."""
        hits = await self.search("organizations", name, "name")
        ids = [int(hit["id"]) for hit in hits if str(hit.get("name")).strip().lower() == name.lower()]
        if len(ids) > 1:
            hint = "several organisations have the name: merge them in Pipedrive, then release"
            raise Failed("transient", "several_objects", status=self.status, hint=hint)
        return ids[0] if ids else None

    def _check(self, answer: HttpAnswer, *, creates: bool = False) -> None:
        failed = classify(answer, creates=creates, rules=(LOCKED_OUT,))
        if failed is None:
            return
        if failed.code == LOCKED_OUT.code:
            failed.wait = max(failed.wait, LOCKED_FOR)
        if failed.failure == "limited" and answer.headers.get(DAILY_LEFT) == "0":
            failed.wait = max(failed.wait, until_midnight(self._zone))
        raise failed


class PipedrivePersons(VendorObjects):
    """The persons of a company, for `finding`."""

    kind = "contact"
    trust_search = False

    def __init__(self, visit: PipedriveVisit, options: PipedriveOptions) -> None:
        self._visit = visit
        self._key = options.external_id_field
        self.searched = frozenset({"email", "phone", *(("external_id",) if self._key else ())})
        self.find_lag = options.find_lag

    async def search(self, name: Name) -> list[FoundObject]:
        """Return what a search finds: exactly, but for numbers, which people write with blanks."""
        field = "custom_fields" if name.kind == "external_id" else name.kind
        hits = await self._visit.search("persons", name.value, field, exact=name.kind != "phone")
        return [FoundObject(str(hit["id"]), hit) for hit in hits]

    async def read(self, id: str) -> FoundObject | None:
        """Return a person, None where it is gone or was merged into another."""
        person = await self._visit.get("/api/v2/persons/{id}", id)
        return None if person is None else FoundObject(id, person)

    def values(self, record: Record, kind: str) -> list[Any] | None:
        """Return the addresses, numbers or the external id of a person; of a hit nobody knows which field it shows."""
        if kind == "external_id":
            fields = record.get("custom_fields")
            return [fields.get(self._key)] if isinstance(fields, Mapping) else None
        return list_values(record, f"{kind}s") if f"{kind}s" in record else None

    def explain_unreadable(self, kind: str) -> str:
        """Return what to do where a person does not show the field."""
        return f"Pipedrive shows no {kind} at persons: look at the visibility of fields for the token's user"


class PipedriveLeads:
    """The leads of a company and the deals that they became, for `finding`. A deal's id is a number."""

    kind = "lead"
    searched = frozenset({"lead"})
    trust_search = False

    def __init__(self, visit: PipedriveVisit, options: PipedriveOptions) -> None:
        self._visit = visit
        self._key = options.reference_field or ""
        self.find_lag = options.find_lag

    async def search(self, name: Name) -> list[FoundObject]:
        """Return the leads with a reference in any field; where there are none, the deals."""
        hits = await self._visit.search("leads", name.value, "custom_fields")
        hits = hits or await self._visit.search("deals", name.value, "custom_fields")
        # Which field it was that had the text is not said: they are read.
        return [FoundObject(str(hit["id"]), {**hit, "custom_fields": None}) for hit in hits]

    async def read(self, id: str) -> FoundObject | None:
        """Return a lead or deal. None: it is gone, as a lead is of which a deal was made."""
        record = await self._visit.get("/api/v2/deals/{id}" if id.isdigit() else "/api/v1/leads/{id}", id)
        return None if record is None else FoundObject(id, record)

    def values(self, record: Record, kind: str) -> list[Any] | None:
        """Return the reference: of a deal in `custom_fields`, of a lead at the top; of a hit nobody knows the field."""
        fields = record.get("custom_fields", record)
        return [fields.get(self._key)] if isinstance(fields, Mapping) else None

    def explain_unreadable(self, kind: str) -> str:
        """Return what to do where a lead does not show the field."""
        return "Pipedrive shows no custom fields: look at reference_field"

    def narrow(self, found: Sequence[FoundObject]) -> Sequence[FoundObject]:
        """Return those that are not archived, if any."""
        return [each for each in found if dig(each.record, "is_archived") is not True] or found


def _fail_not_set_up(option: str, what: str) -> Failed:
    return Failed("permanent", "not_set_up", hint=f"write {option}: the key of {what}")


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and str(value) != ""


def list_values(person: Record, field: str) -> list[Any]:
    """Return the addresses or numbers of a person, the primary one first; a hit has texts, a person objects."""
    entries = person.get(field)
    known = [each for each in (entries if isinstance(entries, list) else ()) if each]
    known.sort(key=lambda each: dig(each, "primary") is not True)
    return [each["value"] if isinstance(each, Mapping) else each for each in known if dig(each, "value") or str(each)]


def write_html(text: str) -> str:
    """Return a text as the HTML of a note."""
    return html.escape(text, quote=False).replace("\n", "<br>")


def read_html(content: str) -> str:
    """Return the words of a note, whatever a sanitiser made of its marks and blanks."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", content)).split())


def new_reach(email: str | None, phone: str | None) -> dict[str, Any]:
    """Return address and number as a new person has them."""
    given = {"emails": email, "phones": phone}
    return {field: [{"value": value, "primary": True, "label": "work"}] for field, value in given.items() if value}


def write_custom(arguments: UpsertContact, options: PipedriveOptions) -> dict[str, Any]:
    """Return the custom fields that an upsert writes; an empty text clears."""
    fields = {name: None if value == "" else value for name, value in drop_nulls(arguments.custom).items()}
    if arguments.external_id is not None and options.external_id_field is not None:
        fields[options.external_id_field] = arguments.external_id
    return fields


def new_person(arguments: UpsertContact, options: PipedriveOptions) -> dict[str, Any]:
    """Return what a new person has; a name is required there."""
    email = arguments.new_email or arguments.email
    name = arguments.name or " ".join(filter(None, (arguments.first_name, arguments.last_name)))
    body = {"name": name or email or arguments.external_id, **new_reach(email, arguments.phone)}
    fields = drop_nulls(write_custom(arguments, options))
    return body | ({"custom_fields": fields} if fields else {})


def change_person(person: Record, arguments: UpsertContact, options: PipedriveOptions) -> dict[str, Any]:
    """Return what an upsert changes at a person. Lists are replaced there, so what is in them stays in them."""
    changes: dict[str, Any] = {}
    name = arguments.name
    if arguments.first_name is not None or arguments.last_name is not None:
        first, last = arguments.first_name, arguments.last_name
        parts = (first if first is not None else person.get("first_name"), last)
        name = " ".join(filter(None, (parts[0], last if last is not None else person.get("last_name"))))
    if name and name != person.get("name"):
        changes["name"] = name
    emails = [each for each in person.get("emails") or () if isinstance(each, Mapping)]
    email = arguments.new_email or arguments.email
    if email and not any(addresses.same_email(str(each.get("value")), email) for each in emails):
        old = arguments.email if arguments.new_email else None
        changes["emails"] = [
            {**each, "value": email} if old and addresses.same_email(str(each.get("value")), old) else each
            for each in emails
        ]
        if not any(each.get("value") == email for each in changes["emails"]):
            changes["emails"].append({"value": email, "primary": not emails, "label": "work"})
    phones = [each for each in person.get("phones") or () if isinstance(each, Mapping)]
    if arguments.phone and not any(equals(Name("phone", arguments.phone), each.get("value")) for each in phones):
        changes["phones"] = [*phones, {"value": arguments.phone, "primary": not phones, "label": "work"}]
    known = person.get("custom_fields")
    known = known if isinstance(known, Mapping) else {}
    fields = {key: value for key, value in write_custom(arguments, options).items() if known.get(key) != value}
    return changes | ({"custom_fields": fields} if fields else {})
