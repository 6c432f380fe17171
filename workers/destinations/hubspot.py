"""HubSpot: contacts, notes, tasks, deals with their stages, links to companies; a look-up.

Takes the actions of `contacts`; returns Done or raises Failed.
Never uses an SDK: HubSpot's own ones repeat creates by themselves. Never asks again every few seconds when the day's
requests are used up, which no header says.

Contacts are read by e-mail or by a unique property, deals by a unique property of theirs: of these HubSpot itself
refuses a second one, and a refusal names the first.

Facts: developers.hubspot.com/docs and the vendor's own SDK (docs/destinations/hubspot.md).
"""

import html
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from types import MappingProxyType
from typing import Any

from pydantic import Field

from mailroom.sentences import say
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
from workers.destinations.classify import classify, until_midnight
from workers.destinations.contacts import (
    ADD_NOTE,
    ADD_TASK,
    CONTACT,
    CREATE_LEAD,
    LINK,
    MOVE_DEAL,
    UPSERT_CONTACT,
    AddNote,
    AddTask,
    CallerArguments,
    CreateLead,
    Link,
    MoveDeal,
    UpsertContact,
    flatten,
)
from workers.destinations.finding import (
    BELIEVED,
    FoundObject,
    ObjectFinder,
    VendorObjects,
)
from workers.http import HiddenHeaders, Http, HttpAnswer, HttpExchange, build_url
from workers.outcome import Done, Failed

Record = Mapping[str, Any]

#: Our field: HubSpot's property of contacts.
PROPERTIES: Mapping[str, str] = {
    "email": "email",
    "first_name": "firstname",
    "last_name": "lastname",
    "phone": "phone",
    "address.street": "address",
    "address.postal_code": "zip",
    "address.city": "city",
    "address.country": "country",
}
#: Further addresses of a contact, separated by semicolons.
OTHER_EMAILS = "hs_additional_emails"
#: Where numbers are searched.
NUMBERS = ("phone", "mobilephone")

#: Ids of the associations that HubSpot defines: note, task and deal to their contact.
NOTE_TO_CONTACT, TASK_TO_CONTACT, DEAL_TO_CONTACT = 202, 204, 3

#: How a 409 names what is there: "Contact already exists. Existing ID: 12345".
_EXISTING = re.compile(r"Existing ID: (\d+)")
#: A property or code in an error, which holds no value of a person.
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,60}")


class HubspotOptions(DestinationOptions):
    """What ops may write under a destination of kind `hubspot`."""

    base: Base = Field(default="https://api.hubapi.com", description="Address of the API.")
    access_token: Secret = Field(description="A service key, or the token of a private app.")
    version: str = Field(
        default="2026-03", pattern=r"^(v3|20\d\d-\d\d)$", description="Of the API: a date, or v3 until September 2027."
    )
    external_id_property: str | None = Field(
        default=None,
        pattern=r"^[a-z][a-z0-9_]*$",
        description="Unique property of contacts that holds external ids; without it external_id is refused.",
    )
    reference_property: str | None = Field(
        default=None,
        pattern=r"^[a-z][a-z0-9_]*$",
        description="Unique property of deals that holds references; what is about leads needs it.",
    )
    pipeline: str = Field(default="default", min_length=1, description="Id of the pipeline of new deals.")
    stage: str = Field(default="appointmentscheduled", min_length=1, description="Id of the stage of new deals.")
    time_zone: Zone = Field(default="UTC", description="Of the account: its day of requests ends at midnight there.")


_LIMITS = "100 requests in 10 s per app, 250,000 a day per account (Free, Starter); searches 4 a second"
_CONTACTS = "crm.objects.contacts.read and .write"
_DEALS = f"{_CONTACTS}, crm.objects.deals.read and .write"

KIND = DestinationKind(
    name="hubspot",
    about="HubSpot as CRM.",
    options=HubspotOptions,
    actions={
        kind.name: kind
        for kind in (
            UPSERT_CONTACT.adopt(
                "found again",
                rights=_CONTACTS,
                limits=_LIMITS,
                refuses={"name": "a contact has a first and a last name; a company is another object"},
            ),
            ADD_NOTE.adopt("held", rights=_CONTACTS, limits=_LIMITS),
            ADD_TASK.adopt("held", rights=_CONTACTS, limits=_LIMITS),
            CREATE_LEAD.adopt("found again", rights=_DEALS, limits=_LIMITS),
            MOVE_DEAL.adopt("sent again", rights=_DEALS, limits=_LIMITS),
            LINK.adopt("sent again", rights=f"{_DEALS}, crm.objects.companies.read and .write", limits=_LIMITS),
            CONTACT.adopt(None, rights=_CONTACTS, limits=_LIMITS),
        )
    },
    cannot={
        "set_consent": "a consent is a subscription with a legal basis there, which the driver does not write",
        "add_label": "HubSpot has no labels at contacts, and the driver does not write lists",
        "remove_label": "HubSpot has no labels at contacts, and the driver does not write lists",
    },
    deletes=lambda _: say("deletes_gdpr"),
    limit=Rate(9, 1_000),  # 100 in 10 seconds of the lowest tier.
    stand_in=StandIn(
        {"base": "{sandbox}/hubspot", "access_token": "${SANDBOX_HUBSPOT_ACCESS_TOKEN}"},
        frozenset({"version", "external_id_property", "reference_property", "pipeline", "stage", "time_zone"}),
    ),
)


class HubspotClient(Client[HubspotOptions]):
    """Carries out the actions of kind `hubspot`."""

    def __init__(self, name: str, options: HubspotOptions, reveal: Reveal, http: Http, memory: Memory) -> None:
        super().__init__(name, options, reveal, http, memory)
        self._base = open_base(options.base, reveal)
        self._headers = HiddenHeaders({"Authorization": f"Bearer {reveal(options.access_token)}"})

    def visit(self, delivery: Attempt) -> "HubspotVisit":
        """Return what carries the requests of a delivery."""
        return HubspotVisit(self._http.exchange(), delivery, self._base, self._headers, self._options)

    # Contacts

    async def _upsert_contact(self, visit: "HubspotVisit", arguments: UpsertContact) -> Done:
        names = UPSERT_CONTACT.list_strong_names(arguments)
        wanted = list_names(("external_id", arguments.external_id), ("email", arguments.new_email or arguments.email))
        finder = self._contact_finder(visit, arguments.external_id, believed=0)  # What differs is written.
        found = await finder.find(names)
        values = write_properties(arguments, self._options)
        if found is None:
            found, created = await self._create(visit, finder, "contacts", names, values)
            if created:
                given = [*wanted, *list_names(("phone", arguments.phone))]
                await finder.learn(given, found.id, gone=names)
                return Done(result={"id": found.id, "created": True}, status=visit.status)
        await finder.meet(found)
        if changes := change_properties(found.record, values, renames=arguments.new_email is not None):
            await visit.change("contacts", found.id, changes)
        if found.news or not found.names.issuperset(wanted):
            await finder.learn(wanted, found.id, gone=names)
        note = "" if changes else "nothing_to_write"
        return Done(result={"id": found.id, "created": False}, note=note, status=visit.status)

    async def _contact(self, visit: "HubspotVisit", arguments: CallerArguments) -> Done:
        finder = self._contact_finder(visit, arguments.external_id, believed=0)
        found = await finder.find(CONTACT.list_strong_names(arguments))
        if found is None:
            return Done(result={"found": False}, status=visit.status)
        has = dig(found.record, "properties") or {}
        external_id = self._options.external_id_property
        shown = {ours: has.get(PROPERTIES[ours]) for ours in ("email", "first_name", "last_name", "phone")}
        result = {"found": True, "id": found.id, "external_id": has.get(external_id) if external_id else None}
        return Done(result=result | shown, status=visit.status)

    async def _find_or_create_contact(
        self, visit: "HubspotVisit", arguments: AddNote | CallerArguments, names: Sequence[Name]
    ) -> str:
        """Return the contact that something is added to; a bare one is made for whom nobody knows."""
        external_id = getattr(arguments, "external_id", None)
        finder = self._contact_finder(visit, external_id)
        # A number is a name only where nothing else is: colleagues share one.
        values = {"email": arguments.email, "phone": arguments.phone}
        if external_id is not None:
            values[str(self._options.external_id_property)] = external_id
        given = list_names(("external_id", external_id), ("email", arguments.email), ("phone", arguments.phone))

        async def make() -> FoundObject:
            return (await self._create(visit, finder, "contacts", names, drop_nulls(values)))[0]

        found, _ = await finder.find_or_create(names, make, given)
        return found.id

    async def _create(
        self,
        visit: "HubspotVisit",
        finder: ObjectFinder,
        type: str,
        names: Sequence[Name],
        values: Record,
        associations: Sequence[Record] = (),
    ) -> tuple[FoundObject, bool]:
        """Create an object. False: HubSpot refused, because it exists, and it is the one that is meant."""
        answer = await visit.try_create(type, values, associations)
        if answer.status == 409:
            existing = _EXISTING.search(str(dig(answer.json(), "message")))
            return await finder.find_existing(names, existing[1] if existing else None, answer.status), False
        return FoundObject(visit.read_created(answer)), True

    def _contact_finder(
        self, visit: "HubspotVisit", external_id: str | None = None, *, believed: int = BELIEVED
    ) -> ObjectFinder:
        if external_id is not None and self._options.external_id_property is None:
            raise _fail_not_set_up("external_id_property", "contacts that holds external ids")
        return ObjectFinder(HubspotContacts(visit, self._options), self._memory, visit.delivery, believed=believed)

    async def delete_person(self, email: str) -> int:
        """Delete contacts for good, with what hangs on them. Only by id: an address that nobody has would be blocked.

        Raises Failed.
        """
        visit = self.visit(Attempt("no delivery"))
        found = await self._contact_finder(visit, believed=0).find_all([Name("email", email)])
        for each in found:
            await visit.purge(each.id)
        return len(found)

    # What is added to contacts

    async def _add_note(self, visit: "HubspotVisit", arguments: AddNote) -> Done:
        if visit.delivery.doubtful:
            raise fail_unresolved("the note may have been written: look at the contact in HubSpot")
        contact = await self._find_or_create_contact(visit, arguments, ADD_NOTE.list_strong_names(arguments))
        values = {"hs_timestamp": _write_moment(datetime.now(UTC)), "hs_note_body": write_html(arguments.text)}
        id = await visit.create("notes", values, [associate(contact, NOTE_TO_CONTACT)])
        return Done(result={"id": id, "contact": contact}, status=visit.status)

    async def _add_task(self, visit: "HubspotVisit", arguments: AddTask) -> Done:
        if visit.delivery.doubtful:
            raise fail_unresolved("the task may have been made: look at the contact in HubSpot")
        contact = await self._find_or_create_contact(visit, arguments, ADD_TASK.list_strong_names(arguments))
        # The timestamp of a task is when it is due; there is none without.
        due = datetime.now(UTC) if arguments.due is None else datetime.combine(arguments.due, time(12), UTC)
        values = {
            "hs_timestamp": _write_moment(due),
            "hs_task_subject": arguments.subject,
            "hs_task_body": write_html(arguments.text) if arguments.text else None,
            "hs_task_status": "NOT_STARTED",
            "hs_task_type": "TODO",
        }
        id = await visit.create("tasks", drop_nulls(values), [associate(contact, TASK_TO_CONTACT)])
        return Done(result={"id": id, "contact": contact}, status=visit.status)

    # Deals

    async def _create_lead(self, visit: "HubspotVisit", arguments: CreateLead) -> Done:
        property, name = self._reference_property(), Name("lead", arguments.reference)
        finder = self._deal_finder(visit)
        contact: str | None = None

        async def make() -> FoundObject:
            nonlocal contact
            names = [each for each in CREATE_LEAD.list_strong_names(arguments) if each != name]
            contact = await self._find_or_create_contact(visit, arguments, names)
            amount = arguments.amount
            values = {
                **drop_nulls(arguments.custom),
                "dealname": arguments.title,
                "description": arguments.text,
                "amount": None if amount is None else str(amount),
                "deal_currency_code": None if amount is None else arguments.currency,
                "pipeline": self._options.pipeline,
                "dealstage": self._options.stage,
                property: arguments.reference,
            }
            to = [associate(contact, DEAL_TO_CONTACT)]
            return (await self._create(visit, finder, "deals", [name], drop_nulls(values), to))[0]

        found, created = await finder.find_or_create([name], make, [name])
        note = "" if created else "already_there"
        return Done(result={"id": found.id, "contact": contact, "created": created}, note=note, status=visit.status)

    async def _move_deal(self, visit: "HubspotVisit", arguments: MoveDeal) -> Done:
        name = Name("lead", arguments.reference)
        self._reference_property()
        finder = self._deal_finder(visit, believed=0)
        found = await finder.find([name])
        if found is None:
            return Done(note="no_such_lead", status=visit.status)
        await finder.meet(found)
        if found.news:
            await finder.learn([name], found.id)
        stage = await visit.find_stage(arguments.stage, dig(found.record, "properties.pipeline"))
        result = {"id": found.id, "created": False}
        if dig(found.record, "properties.dealstage") == stage:
            return Done(result=result, note="already_so", status=visit.status)
        shown = await visit.change("deals", found.id, {"dealstage": stage})
        if dig(shown, "properties.dealstage") not in (None, stage):
            raise Failed("transient", "not_in_force", status=visit.status, hint="the deal does not show the stage")
        return Done(result=result, status=visit.status)

    async def _link(self, visit: "HubspotVisit", arguments: Link) -> Done:
        names = list_names(("external_id", arguments.external_id), ("email", arguments.email))
        finder = self._contact_finder(visit, arguments.external_id)
        contact = await finder.find(names)
        if contact is None:
            return Done(note="no_such_contact", status=visit.status)
        if contact.news:
            await finder.meet(contact)
            await finder.learn(names, contact.id)
        if arguments.lead is not None:
            self._reference_property()
            deal = await self._deal_finder(visit).find([Name("lead", arguments.lead)])
            if deal is None:
                return Done(note="no_such_lead", status=visit.status)
            await visit.associate("deals", deal.id, "contacts", contact.id)
            return Done(status=visit.status)
        company = await visit.find_company(arguments.company or "")
        if company is None:
            return Done(note="no_such_company", status=visit.status)
        await visit.associate("contacts", contact.id, "companies", company)
        return Done(status=visit.status)

    def _deal_finder(self, visit: "HubspotVisit", *, believed: int = BELIEVED) -> ObjectFinder:
        return ObjectFinder(HubspotDeals(visit, self._options), self._memory, visit.delivery, believed=believed)

    def _reference_property(self) -> str:
        if self._options.reference_property is None:
            raise _fail_not_set_up("reference_property", "deals that holds references")
        return self._options.reference_property

    methods = MappingProxyType(
        {
            "upsert_contact": _upsert_contact,
            "add_note": _add_note,
            "add_task": _add_task,
            "create_lead": _create_lead,
            "move_deal": _move_deal,
            "link": _link,
            "contact": _contact,
        }
    )


DESTINATION = DestinationType(KIND, HubspotClient)


class HubspotVisit(JsonVisit):
    """The requests of one delivery to one account."""

    def __init__(
        self,
        exchange: HttpExchange,
        delivery: Attempt,
        base: str,
        headers: Mapping[str, str],
        options: HubspotOptions,
    ) -> None:
        super().__init__(exchange, delivery, base, headers)
        self._version = options.version
        self._zone = options.time_zone

    def _path(self, what: str = "objects") -> str:
        return f"/crm/v3/{what}" if self._version == "v3" else f"/crm/{what}/{self._version}"

    async def get(self, type: str, id: str, properties: Sequence[str], unique: str | None = None) -> Record | None:
        """Return an object by its id or by a unique property; None where there is none.

        Of a contact that was merged into another, that other one comes back.
        """
        query = {"properties": ",".join(properties), **({"idProperty": unique} if unique else {})}
        url = build_url(self._base, self._path() + "/{type}/{id}", query, type=type, id=id)
        answer = await self._try_send("GET", url)
        if answer.status == 404:
            return None
        self._check(answer)
        return self._record(answer)

    async def search(self, type: str, groups: Sequence[tuple[str, str]], properties: Sequence[str]) -> list[Record]:
        """Return the objects that have one of some values in its property."""
        body = {
            "filterGroups": [
                {"filters": [{"propertyName": name, "operator": "EQ", "value": value}]} for name, value in groups
            ],
            "properties": list(properties),
            "limit": 100,
        }
        url = build_url(self._base, self._path() + "/{type}/search", type=type)
        answer = await self._try_send("POST", url, body)
        self._check(answer)
        found = dig(answer.json(), "results")
        if not isinstance(found, list):
            raise Failed("transient", "bad_answer", status=answer.status, hint="a search did not answer with a list")
        return [each for each in found if isinstance(each, Mapping) and isinstance(each.get("id"), str)]

    async def create(self, type: str, values: Record, associations: Sequence[Record] = ()) -> str:
        """Create an object and return its id."""
        answer = await self.try_create(type, values, associations)
        if answer.status == 409:
            self._check(answer, creates=True)
        return self.read_created(answer)

    async def try_create(self, type: str, values: Record, associations: Sequence[Record] = ()) -> HttpAnswer:
        """Create an object; 409 is left to the caller."""
        url = build_url(self._base, self._path() + "/{type}", type=type)
        body = {"properties": values, "associations": list(associations)}
        answer = await self._try_send("POST", url, body, creates=True)
        if answer.status != 409:
            self._check(answer, creates=True)
        return answer

    def read_created(self, answer: HttpAnswer) -> str:
        """Return the id of what was created."""
        id = dig(answer.json(), "id")
        if not isinstance(id, str) or not id:
            raise Failed("ambiguous", "no_id", status=answer.status, hint="something was made, but no id came back")
        return id

    async def change(self, type: str, id: str, values: Record) -> Record:
        """Write properties of an object and return it."""
        url = build_url(self._base, self._path() + "/{type}/{id}", type=type, id=id)
        answer = await self._try_send("PATCH", url, {"properties": values})
        if answer.status == 404:
            hint = "the object is gone; the next attempt searches"
            raise Failed("transient", "stale_id", status=404, hint=hint)
        if answer.status == 409:
            hint = "another contact has the address or id that is to be written: merge them there, then release"
            raise Failed("transient", "two_objects", status=409, hint=hint)
        self._check(answer)
        return self._record(answer)

    async def purge(self, id: str) -> None:
        """Delete a contact for good (GDPR); of one that is gone nothing is left to do."""
        url = build_url(self._base, "/crm/v3/objects/contacts/gdpr-delete")
        answer = await self._try_send("POST", url, {"objectId": id})
        if answer.status != 404:
            self._check(answer)

    async def associate(self, type: str, id: str, other: str, other_id: str) -> None:
        """Tie two objects together by the association that HubSpot uses by default; done twice it changes nothing."""
        start = "/crm/v4/objects" if self._version == "v3" else self._path()
        template = start + "/{type}/{id}/associations/default/{other}/{other_id}"
        url = build_url(self._base, template, type=type, id=id, other=other, other_id=other_id)
        answer = await self._try_send("PUT", url)
        if answer.status == 404:
            hint = "one of the two is gone; the next attempt searches"
            raise Failed("transient", "stale_id", status=404, hint=hint)
        self._check(answer)

    async def find_stage(self, stage: str, pipeline: Any) -> str:
        """Return the id of a stage of deals, by its id or by its name: that of the pipeline goes before others."""
        answer = await self._try_send("GET", build_url(self._base, self._path("pipelines") + "/deals"))
        self._check(answer)
        named = [
            (dig(line, "id"), each["id"])
            for line in dig(answer.json(), "results") or ()
            for each in dig(line, "stages") or ()
            if isinstance(each, Mapping)
            and isinstance(each.get("id"), str)
            and stage.lower() in (each["id"].lower(), str(each.get("label")).lower())
        ]
        here = [each for each in named if each[0] == pipeline] or named
        if len(here) == 1:
            return str(here[0][1])
        code, what = (
            ("unknown_stage", "no such stage") if not here else ("several_stages", "several stages of that name")
        )
        raise Failed("permanent", code, status=self.status, hint=f"HubSpot has {what}")

    async def find_company(self, name: str) -> str | None:
        """Return the id of the company with a name, None where there is none."""
        hits = await self.search("companies", [("name", name)], ["name"])
        ids = [str(hit["id"]) for hit in hits if str(dig(hit, "properties.name")).strip().lower() == name.lower()]
        if len(ids) > 1:
            hint = "several companies have the name: merge them in HubSpot, then release"
            raise Failed("transient", "several_objects", status=self.status, hint=hint)
        return ids[0] if ids else None

    def _record(self, answer: HttpAnswer) -> Record:
        record = answer.json()
        if not (
            isinstance(record, Mapping)
            and isinstance(record.get("id"), str)
            and isinstance(record.get("properties"), Mapping)
        ):
            raise Failed("transient", "bad_answer", status=answer.status, hint="an object came back without properties")
        return record

    def _check(self, answer: HttpAnswer, *, creates: bool = False) -> None:
        failed = classify(answer, creates=creates)
        if failed is None:
            return
        told = answer.json()
        if failed.failure == "limited" and dig(told, "policyName") == "DAILY":
            failed.wait = max(failed.wait, until_midnight(self._zone))
        if answer.status == 400 and (wrong := list_wrong_properties(told)):
            raise Failed("permanent", "invalid", status=400, hint=f"HubSpot refuses {', '.join(wrong[:3])}")
        raise failed


class HubspotContacts(VendorObjects):
    """The contacts of an account, for `finding`."""

    kind = "contact"
    trust_search = False
    find_lag = 0.0

    def __init__(self, visit: HubspotVisit, options: HubspotOptions) -> None:
        self._visit = visit
        self._external_id = options.external_id_property
        self.searched = frozenset({"email", "phone", *(("external_id",) if self._external_id else ())})
        self._properties = [*PROPERTIES.values(), OTHER_EMAILS, *NUMBERS[1:]]
        if self._external_id is not None:
            self._properties.append(self._external_id)

    async def search(self, name: Name) -> list[FoundObject]:
        """Return the contact with an address or external id, which are read; numbers are searched."""
        if name.kind == "phone":
            groups = [(number, name.value) for number in NUMBERS]
            return [
                FoundObject(str(hit["id"]), hit)
                for hit in await self._visit.search("contacts", groups, self._properties)
            ]
        unique = "email" if name.kind == "email" else self._external_id
        contact = await self._visit.get("contacts", name.value, self._properties, unique)
        return [] if contact is None else [FoundObject(str(contact["id"]), contact)]

    async def read(self, id: str) -> FoundObject | None:
        """Return a contact, or the one that it was merged into; None where it is gone."""
        contact = await self._visit.get("contacts", id, self._properties)
        return None if contact is None else FoundObject(str(contact["id"]), contact)

    def values(self, record: Record, kind: str) -> list[Any] | None:
        """Return the addresses, numbers or external id of a contact; further addresses are its names, too."""
        has = record.get("properties")
        if not isinstance(has, Mapping):
            return None
        if kind == "email":
            return list_emails(has)
        if kind == "phone":
            return [has.get(number) for number in NUMBERS]
        return [has.get(self._external_id)]

    def explain_unreadable(self, kind: str) -> str:
        """Return what to do where a contact does not show a property."""
        return f"HubSpot shows no {kind} at contacts: look at the scopes of the key"


class HubspotDeals(VendorObjects):
    """The deals of an account, for `finding`: a lead of ours is a deal."""

    kind = "lead"
    searched = frozenset({"lead"})
    trust_search = False
    find_lag = 0.0

    def __init__(self, visit: HubspotVisit, options: HubspotOptions) -> None:
        self._visit = visit
        self._reference = options.reference_property or ""
        self._properties = [self._reference, "pipeline", "dealstage"]

    async def search(self, name: Name) -> list[FoundObject]:
        """Return the deal with a reference, which is read: the property is unique."""
        deal = await self._visit.get("deals", name.value, self._properties, self._reference)
        return [] if deal is None else [FoundObject(str(deal["id"]), deal)]

    async def read(self, id: str) -> FoundObject | None:
        """Return a deal, None where it is gone."""
        deal = await self._visit.get("deals", id, self._properties)
        return None if deal is None else FoundObject(str(deal["id"]), deal)

    def values(self, record: Record, kind: str) -> list[Any] | None:
        """Return the reference of a deal."""
        has = record.get("properties")
        return [has.get(self._reference)] if isinstance(has, Mapping) else None

    def explain_unreadable(self, kind: str) -> str:
        """Return what to do where a deal does not show the property."""
        return "HubSpot shows no references at deals: look at reference_property"


def _fail_not_set_up(option: str, what: str) -> Failed:
    return Failed("permanent", "not_set_up", hint=f"write {option}: the internal name of a unique property of {what}")


def _write_moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_html(text: str) -> str:
    """Return a text as the HTML of a note or task."""
    return html.escape(text, quote=False).replace("\n", "<br>")


def associate(id: str, type: int) -> dict[str, Any]:
    """Return an association of something new to an object that is there."""
    return {"to": {"id": id}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type}]}


def list_wrong_properties(error: Any) -> list[str]:
    """Return the properties that an error names, each with its code."""
    wrong: list[str] = []
    errors = dig(error, "errors")
    for each in errors if isinstance(errors, list) else ():
        named = dig(each, "context.propertyName")
        code = dig(each, "code")
        for name in named if isinstance(named, list) else (dig(each, "name"),):
            if isinstance(name, str) and _WORD.fullmatch(name):
                wrong.append(f"{name} {code}" if isinstance(code, str) and _WORD.fullmatch(code) else name)
    return wrong


def list_emails(properties: Record) -> list[str]:
    """Return the addresses of a contact, the primary one first."""
    others = str(properties.get(OTHER_EMAILS) or "").split(";")
    return [each.strip() for each in (str(properties.get("email") or ""), *others) if each.strip()]


def write_properties(arguments: UpsertContact, options: HubspotOptions) -> dict[str, Any]:
    """Return what an upsert writes, by HubSpot's names; an empty text clears."""
    values = {PROPERTIES[name]: value for name, value in flatten(arguments).items() if name in PROPERTIES}
    if arguments.external_id is not None and options.external_id_property is not None:
        values[options.external_id_property] = arguments.external_id
    return values | drop_nulls(arguments.custom)


def change_properties(contact: Record, values: Record, *, renames: bool) -> dict[str, Any]:
    """Return what differs. An address that the contact has beside its primary one stays where it is.

    `renames`: unless the primary one is to be replaced by it.
    """
    has = contact["properties"]
    changes = {name: value for name, value in values.items() if (has.get(name) or "") != value}
    if "email" in changes:
        same = [each for each in list_emails(has) if addresses.same_email(each, str(changes["email"]))]
        primary = same and addresses.same_email(str(has.get("email") or ""), str(changes["email"]))
        if same and (primary or not renames):
            del changes["email"]
    return changes
