"""ActiveTrail: contacts, their subscription, and the groups they are in.

Takes the arguments of its actions; returns Done or raises Failed.
Never makes a contact to unsubscribe it or to put it into a group, and never makes a group. What is written may come
back as a webhook of the same account, since ActiveTrail tells of what its API changed, too: `echoes` of each action.

Facts: webapi.mymarketing.co.il/api/docs, and published clients. What is a client's and not the vendor's word is an
option: the words of `status`, and errors (docs/destinations/activetrail.md).
"""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from rules.catalogue import ActionKind, DestinationKind, Name, StandIn
from rules.consent import Consent
from rules.secret import Secret
from workers.destinations.base import (
    ActionArguments,
    ActionResult,
    Attempt,
    Base,
    Client,
    DestinationOptions,
    DestinationType,
    Email,
    Id,
    Memory,
    Reveal,
    Scalar,
    Text,
    Visit,
    as_text,
    drop_nulls,
    list_names,
    open_base,
)
from workers.destinations.classify import ErrorRule, classify
from workers.destinations.contacts import UPSERT_CONTACT, UpsertContact, flatten
from workers.destinations.finding import (
    FoundObject,
    ObjectFinder,
    VendorObjects,
    count_existing,
)
from workers.http import HiddenHeaders, Http, HttpAnswer, build_url
from workers.outcome import Done, Failed

#: What the shared action calls a field -> what ActiveTrail does.
FIELDS = {
    "email": "email",
    "first_name": "first_name",
    "last_name": "last_name",
    "phone": "phone1",
    "address.street": "street",
    "address.city": "city",
    "address.postal_code": "zip_code",
}
#: By which events ActiveTrail may tell of what was written here (its page: "contact change" is told for the API, too).
CHANGED = frozenset({"contact.changed", "contact.updated"})
#: Fields that say whether somebody may be written to: nobody sets them without saying so.
STATUSES_REFUSED = {
    f"custom.{name}": "subscribe and unsubscribe write it"
    for name in ("status", "sms_status", "is_do_not_mail", "is_deleted")
}
#: The largest page, and how many of them are read for one name: more groups nobody has.
PAGE, MOST_PAGES = 100, 50
#: Days that the number of a group is remembered by its name.
GROUP_DAYS = 1


def _several(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Words = Annotated[tuple[str, ...], BeforeValidator(lambda value: [as_text(each) for each in _several(value)])]


class ActiveTrailStatuses(DestinationOptions):
    """What ActiveTrail calls a subscription: the first word is written, each is understood where it is read."""

    #: Words for: gets newsletters.
    subscribed: Words = Field(default=("Subscribed", "1", "Active"), min_length=1)
    #: Words for: gets none.
    unsubscribed: Words = Field(default=("Unsubscribed", "2", "CUSTOMER_REQUEST"), min_length=1)


class ActiveTrailClientOptions(DestinationOptions):
    """What ops may write under a destination of kind `activetrail`."""

    api_key: Secret = Field(description="An access token, as it stands after `Authorization:`.")
    base: Base = Field(default="https://webapi.mymarketing.co.il/api", description="Address of the API.")
    statuses: ActiveTrailStatuses = Field(default=ActiveTrailStatuses(), description="Its words for a subscription.")
    find_lag: float = Field(default=0, ge=0, le=3600, description="Seconds until a search finds what was just made.")
    errors: tuple[ErrorRule, ...] = Field(default=(), description="Answers that mean something else than their status.")


class SubscribeContact(ActionArguments):
    """Make the contact a subscriber, as somebody who agreed to it. One that does not exist is made."""

    email: Email = Field(description="Who subscribes.")
    consent: Consent = Field(description="Needed: newsletter.")
    #: All first names.
    first_name: Text | None = None
    #: The family name.
    last_name: Text | None = None
    custom: Mapping[str, Scalar] = Field(default_factory=dict, description="Fields by their own names: ext1, date1 …")


class UnsubscribeContact(ActionArguments):
    """Unsubscribe. A contact that does not exist is not made for it."""

    email: Email = Field(description="Who leaves.")


class GroupMember(ActionArguments):
    """Put a contact into a group, or take it out. Neither the contact nor the group is made for it."""

    email: Email = Field(description="The contact.")
    group: Id = Field(description="Name of the group, exactly as it stands in ActiveTrail.")


class TrailContactDone(ActionResult):
    """What `next:` may read."""

    id: str = Field(description="ActiveTrail's number of the contact.")


def _email_names(arguments: Any) -> tuple[Name, ...]:
    return list_names(("email", arguments.email))


def _email(arguments: Any) -> str:
    return f"email:{arguments.email}"


def _email_and_values(arguments: SubscribeContact) -> str:
    values = arguments.model_dump(mode="json", exclude={"email", "consent"}, exclude_defaults=True)
    return f"email:{arguments.email} {json.dumps(values, sort_keys=True)}"


def _member(arguments: GroupMember) -> str:
    return f"email:{arguments.email} {arguments.group}"


KIND = DestinationKind(
    name="activetrail",
    about="Contacts, subscriptions and groups in ActiveTrail.",
    options=ActiveTrailClientOptions,
    stand_in=StandIn(
        {"base": "{sandbox}/activetrail/api", "api_key": "${SANDBOX_ACTIVETRAIL_API_KEY}"}, frozenset({"find_lag"})
    ),
    actions={
        kind.name: kind
        for kind in (
            UPSERT_CONTACT.adopt(
                "found again",
                rights="an access token; ActiveTrail may bind it to the address that Relais comes from",
                refuses={
                    **STATUSES_REFUSED,
                    "external_id": "ActiveTrail keeps external ids beside the contact, and cannot search by them",
                    "name": "a contact has a first and a last name",
                    "address.country": "a contact has no country",
                },
            ),
            ActionKind(
                name="add_to_group",
                about="Put a contact into a group, found by its name.",
                arguments=GroupMember,
                touches=_email_names,
                touches_about="email",
                once_by=_member,
                once_by_about="email + group",
                result=TrailContactDone,
                echoes=CHANGED | {"contact.group_added"},
            ).adopt("sent again", rights="an access token"),
            ActionKind(
                name="remove_from_group",
                about="Take a contact out of a group, found by its name.",
                arguments=GroupMember,
                touches=_email_names,
                touches_about="email",
                once_by=_member,
                once_by_about="email + group",
                keep_always=True,
                echoes=CHANGED | {"contact.group_removed"},
            ).adopt("sent again", rights="an access token"),
            ActionKind(
                name="subscribe",
                about="Make somebody who agreed a subscriber.",
                arguments=SubscribeContact,
                touches=_email_names,
                touches_about="email",
                once_by=_email_and_values,
                once_by_about="email + values",
                consent=frozenset({"newsletter"}),
                result=TrailContactDone,
                creates=True,
                echoes=CHANGED,
            ).adopt("found again", rights="an access token", refuses=STATUSES_REFUSED),
            ActionKind(
                name="unsubscribe",
                about="Unsubscribe a contact.",
                arguments=UnsubscribeContact,
                touches=_email_names,
                touches_about="email",
                once_by=_email,
                once_by_about="email",
                keep_always=True,
                leaves=lambda _: True,
                echoes=CHANGED | {"contact.unsubscribed"},
            ).adopt("sent again", rights="an access token"),
        )
    },
    cannot={
        "set_consent": "subscribe and unsubscribe do it; subscribe asks where the consent comes from",
        "add_note": "ActiveTrail has no notes",
        "add_label": "ActiveTrail has groups: add_to_group",
        "remove_label": "ActiveTrail has groups: remove_from_group",
        "create_lead": "ActiveTrail has no leads",
        "move_deal": "ActiveTrail has no deals",
        "add_task": "ActiveTrail has no tasks",
        "link": "ActiveTrail has neither companies nor leads",
        "contact": "the driver looks no contact up",
    },
)


class TrailVisit(Visit):
    """The requests of one delivery, judged by the rules of the destination."""

    def __init__(self, visit: Visit, base: str, headers: Mapping[str, str], errors: Sequence[ErrorRule]) -> None:
        super().__init__(visit.exchange, visit.delivery)
        self._base, self._headers, self._errors = base, headers, errors
        #: Status of the latest answer.
        self.status = 0

    async def ask(
        self,
        method: str,
        template: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        creates: bool = False,
        passes: Sequence[int] = (),
        **values: object,
    ) -> HttpAnswer:
        """Send and judge; a status in `passes` is left to the caller. Raises Failed."""
        url = build_url(self._base, template, query, **values)
        answer = await self.exchange.request(method, url, headers=self._headers, json=body, creates=creates)
        self.status = answer.status
        if answer.status not in passes:
            failed = classify(answer, creates=creates, rules=self._errors)
            if failed is not None:
                raise failed
        return answer

    async def list(self, template: str, **query: str) -> Sequence[Mapping[str, Any]]:
        """Return one page of what a search finds."""
        answer = await self.ask("GET", template, query=query)
        found = answer.json()
        if not isinstance(found, list):
            raise Failed("transient", "bad_answer", status=answer.status, hint="a search did not answer with a list")
        return [each for each in found if isinstance(each, Mapping) and _read_id(each) is not None]


class TrailContacts(VendorObjects):
    """The contacts of an account, as `finding` searches them."""

    kind = "contact"
    searched = frozenset({"email"})
    trust_search = False

    def __init__(self, visit: TrailVisit, find_lag: float) -> None:
        self.find_lag = find_lag
        self._visit = visit

    async def search(self, name: Name) -> Sequence[FoundObject]:
        """Return what their search finds, those who have left among them."""
        query = {"CustomerStates": "ALL", "SearchTerm": name.value, "Page": "1", "Limit": str(PAGE)}
        return [FoundObject(str(_read_id(hit)), hit) for hit in await self._visit.list("/contacts", **query)]

    async def read(self, id: str) -> FoundObject | None:
        """Return a contact, None where there is none."""
        answer = await self._visit.ask("GET", "/contacts/{id}", passes=(404, 410), id=id)
        if answer.status in (404, 410):
            return None
        record = answer.json()
        if _read_id(record) is None:
            raise Failed("transient", "bad_answer", status=answer.status, hint="a contact was asked for, and not shown")
        return FoundObject(str(_read_id(record)), record)

    def values(self, record: Any, kind: str) -> Sequence[Any] | None:
        """Return the address of a contact; None: it is not shown."""
        return [record["email"]] if isinstance(record, Mapping) and "email" in record else None

    def explain_unreadable(self, kind: str) -> str:
        """Say what is wrong where no contact shows its address."""
        return "their contacts show no `email`: what was found cannot be compared"


class ActiveTrailClient(Client[ActiveTrailClientOptions]):
    """Carries out the actions of kind `activetrail`."""

    def __init__(
        self, name: str, options: ActiveTrailClientOptions, reveal: Reveal, http: Http, memory: Memory
    ) -> None:
        super().__init__(name, options, reveal, http, memory)
        self._base = open_base(options.base, reveal)
        self._headers = HiddenHeaders(Authorization=reveal(options.api_key))

    def visit(self, delivery: Any) -> TrailVisit:
        """Return what carries the requests of a delivery."""
        return TrailVisit(super().visit(delivery), self._base, self._headers, self._options.errors)

    async def read_nobody(self) -> None:
        """Ask for a contact. Raises Failed."""
        visit = self.visit(Attempt("no delivery"))
        await TrailContacts(visit, 0).search(Name("email", "nobody@example.org"))

    async def _upsert_contact(self, visit: TrailVisit, arguments: UpsertContact) -> Done:
        values = {FIELDS[name]: value for name, value in flatten(arguments).items()}
        names = UPSERT_CONTACT.list_strong_names(arguments)
        wanted = list_names(("email", arguments.new_email or arguments.email))
        finder = self._finder(visit)
        found = await finder.find(names)
        body = {**drop_nulls(arguments.custom), **values}
        if found is None:
            id = await self._create(visit, finder, wanted, body)
            await finder.learn(wanted, id, gone=names)
            return Done(result={"id": id, "created": True}, status=visit.status)
        await finder.meet(found)
        if found.names.issuperset(wanted):  # Never the name by which it was found.
            del body["email"]
        if body:
            await self._update(visit, finder, found, body)
        if found.news or not found.names.issuperset(wanted):
            await finder.learn(wanted, found.id, gone=names)
        return Done(result={"id": found.id, "created": False}, status=visit.status)

    async def _subscribe(self, visit: TrailVisit, arguments: SubscribeContact) -> Done:
        if not arguments.consent.newsletter:
            raise Failed("permanent", "no_consent", hint="a subscription needs newsletter consent")
        names = list_names(("email", arguments.email))
        finder = self._finder(visit)
        found = await finder.find(names)
        if found is not None:
            await finder.meet(found)
        told = arguments.model_dump(mode="json", include={"email", "first_name", "last_name"})
        body = {**drop_nulls(arguments.custom), **drop_nulls(told)}
        # By the address, whether it is there or not: only so clients are known to write `status`.
        id = await self._create(visit, finder, names, {**body, "status": self._options.statuses.subscribed[0]})
        if found is None or found.news or found.id != id:
            await finder.learn(names, id)
        return Done(result={"id": id}, status=visit.status)

    async def _unsubscribe(self, visit: TrailVisit, arguments: UnsubscribeContact) -> Done:
        names = list_names(("email", arguments.email))
        finder = self._finder(visit)
        found = await finder.find_all(names)
        if not found:
            return Done(note="not_there", status=visit.status)
        await finder.meet(*found)
        words = self._options.statuses.unsubscribed
        await visit.ask("POST", "/contacts", {"email": arguments.email, "status": words[0]})
        for each in found:
            now = await TrailContacts(visit, 0).read(each.id)
            if now is not None and not _is_one_of(now.record.get("status"), words):
                hint = "they took it, and the contact has another status; look at statuses.unsubscribed, their words"
                raise Failed("transient", "not_in_force", wait=self._options.find_lag, status=200, hint=hint)
        return Done(status=visit.status)

    async def _add_to_group(self, visit: TrailVisit, arguments: GroupMember) -> Done:
        found = await self._find_member(visit, arguments)
        if found is None:
            hint = "there is no such contact; upsert_contact or subscribe makes it"
            raise Failed("permanent", "no_contact", status=visit.status, hint=hint)
        group = await self._find_group(visit, arguments.group)
        answer = await visit.ask(
            "POST", "/groups/{group}/members", {"email": arguments.email}, passes=(404, 410), group=group
        )
        await self._expect_group(answer, arguments.group)
        return Done(result={"id": found.id}, status=visit.status)

    async def _remove_from_group(self, visit: TrailVisit, arguments: GroupMember) -> Done:
        found = await self._find_member(visit, arguments)
        if found is None:
            return Done(note="not_there", status=visit.status)
        group = await self._search_group(visit, arguments.group)  # A number that was remembered may be another's.
        template = "/groups/{group}/members/{id}"
        answer = await visit.ask("DELETE", template, passes=(404, 410), group=group, id=found.id)
        return Done(note="not_there" if answer.status in (404, 410) else "", status=visit.status)

    async def _find_member(self, visit: TrailVisit, arguments: GroupMember) -> FoundObject | None:
        names = list_names(("email", arguments.email))
        finder = self._finder(visit)
        found = await finder.find(names)
        if found is not None:
            await finder.meet(found)
            if found.news:
                await finder.learn(names, found.id)
        return found

    async def _find_group(self, visit: TrailVisit, name: str) -> str:
        """Return the number of the group of a name, as it was known lately. Raises Failed."""
        if (known := await self._memory.get(self._group_mark(name))) is not None:
            return known
        return await self._search_group(visit, name)

    async def _search_group(self, visit: TrailVisit, name: str) -> str:
        ids: list[str] = []
        for page in range(1, MOST_PAGES + 1):
            query = {"SearchTerm": name, "Page": str(page), "Limit": str(PAGE)}
            hits = await visit.list("/groups", **query)
            ids += [str(_read_id(hit)) for hit in hits if as_text(hit.get("name")) == name]
            if len(hits) < PAGE:
                break
        if not ids:
            hint = "there is no group of this name; make it there, or mend the rule"
            raise Failed("permanent", "no_group", status=visit.status, hint=hint)
        if len(set(ids)) > 1:
            hint = f"groups {' and '.join(dict.fromkeys(ids))} have one name: rename one there, then release"
            raise Failed("transient", "several_objects", status=visit.status, hint=hint)
        await self._memory.set(self._group_mark(name), ids[0], GROUP_DAYS)
        return ids[0]

    async def _expect_group(self, answer: HttpAnswer, name: str) -> None:
        """Raise where a group that was known is no more; the next attempt looks for it."""
        if answer.status in (404, 410):
            await self._memory.set(self._group_mark(name), "", 1)
            hint = "the group is not there any more; the next attempt looks for one of that name"
            raise Failed("transient", "stale_id", status=answer.status, hint=hint)

    async def _create(
        self, visit: TrailVisit, finder: ObjectFinder, names: Sequence[Name], body: Mapping[str, Any]
    ) -> str:
        """Make a contact, or change the one that has its address; return its number. Raises Failed."""
        answer = await visit.ask("POST", "/contacts", body, creates=True, passes=(409,))
        if answer.status == 409:
            lag = self._options.find_lag
            raise await count_existing(self._memory, visit.delivery, "contact", answer.status, find_lag=lag)
        if (id := _read_id(answer.json())) is not None:
            return id
        if (found := await finder.find(names)) is None:
            hint = "no number came back, and no contact is shown"
            raise Failed("ambiguous", "no_id", status=answer.status, hint=hint)
        return found.id

    async def _update(
        self, visit: TrailVisit, finder: ObjectFinder, found: FoundObject, body: Mapping[str, Any]
    ) -> None:
        answer = await visit.ask("PUT", "/contacts/{id}", body, passes=(404, 410), id=found.id)
        if answer.status in (404, 410):
            await finder.forget(found)
            hint = "the contact is not there any more; the next attempt searches"
            raise Failed("transient", "stale_id", status=answer.status, hint=hint)

    def _finder(self, visit: TrailVisit) -> ObjectFinder:
        return ObjectFinder(TrailContacts(visit, self._options.find_lag), self._memory, visit.delivery)

    def _group_mark(self, name: str) -> str:
        return f"{self._name}:group:{name}"

    methods = MappingProxyType(
        {
            "upsert_contact": _upsert_contact,
            "add_to_group": _add_to_group,
            "remove_from_group": _remove_from_group,
            "subscribe": _subscribe,
            "unsubscribe": _unsubscribe,
        }
    )


DESTINATION = DestinationType(KIND, ActiveTrailClient)


def _read_id(record: Any) -> str | None:
    """Return the number of an object, None where it shows none."""
    id = record.get("id") if isinstance(record, Mapping) else None
    return as_text(id) if isinstance(id, str | int) and not isinstance(id, bool) and id != "" else None


def _is_one_of(shown: Any, words: Sequence[str]) -> bool:
    """Tell whether a status is one of some words. What is not shown is believed."""
    return shown is None or str(as_text(shown)).lower() in [word.lower() for word in words]
