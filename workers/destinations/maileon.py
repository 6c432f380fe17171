"""Maileon: subscriptions with double opt-in, fields, unsubscriptions.

Takes the arguments of its three actions; returns Done or raises Failed.
Never sets a confirmed permission by itself and never sends a second opt-in mail when in doubt.

Facts: support.maileon.com, REST API 1.0 (create-contact, update-contact-by-email, unsubscribe-contacts-by-email,
http-status-codes), and XQueue's own PHP and n8n clients.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from rules import addresses
from rules.catalogue import ActionKind, DestinationKind, Name, StandIn
from rules.consent import Consent
from rules.secret import Secret
from workers.destinations.base import (
    ActionArguments,
    ActionResult,
    Base,
    Client,
    DestinationOptions,
    DestinationType,
    Email,
    Memory,
    Reveal,
    Scalar,
    Text,
    Visit,
    as_text,
    drop_nulls,
    fail_unresolved,
    list_names,
    open_base,
)
from workers.destinations.classify import classify
from workers.destinations.finding import count_existing
from workers.http import HiddenHeaders, Http, HttpAnswer, build_url
from workers.outcome import Done, Failed

JSON = "application/vnd.maileon.api+json"
#: Answers are XML in every documented example, also to JSON requests.
XML = "application/vnd.maileon.api+xml"

# fmt: off
STANDARD_FIELDS = frozenset({
    "ADDRESS", "BIRTHDAY", "CITY", "COUNTRY", "FIRSTNAME", "FULLNAME", "GENDER", "HNR", "LASTNAME", "LOCALE", "NAMEDAY",
    "ORGANIZATION", "REGION", "SALUTATION", "STATE", "TITLE", "ZIP",
})
# fmt: on

#: Maileon's words for why somebody leaves; anything else is sent as `other`.
REASONS = frozenset(
    {"too_many_messages", "no_demand", "change_of_channel", "change_of_interest", "technical_reasons", "other"}
)

PERMISSIONS: Mapping[str, int] = {"none": 1, "soi": 2, "coi": 3, "doi": 4, "doi+": 5, "other": 6}
DOI, DOI_PLUS = 4, 5

#: Initial permission of a contact: none, until the link in the mail is followed.
PERMISSION_NONE = "1"
#: Update a contact that exists. The default, 2, does nothing without a word.
SYNC_UPDATE = "1"

#: Days that an unsubscription is remembered: Maileon carries it out later, and until then still shows the old consent.
UNSUBSCRIBED_DAYS = 2


def _read_fields(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    if not STANDARD_FIELDS.issuperset(fields):
        strange = sorted(set(fields) - STANDARD_FIELDS)
        raise ValueError(
            f"{', '.join(strange)}: no standard field of Maileon; there are {', '.join(sorted(STANDARD_FIELDS))}. "
            "Others go under custom_fields"
        )
    return fields


Fields = Annotated[Mapping[str, Scalar], AfterValidator(_read_fields)]
CustomName = Annotated[str, Field(min_length=3, max_length=64)]


class MaileonOptions(DestinationOptions):
    """What ops may write under a destination of kind `maileon`."""

    api_key: Secret = Field(
        description="The API key, as Maileon shows it or as it stands after `Authorization: Basic`; both work."
    )
    base: Base = Field(default="https://api.maileon.com/1.0", description="Address of the API.")
    doi_mailing: str | None = Field(default=None, description="Key of the opt-in mailing; default: the account's own.")
    pending_days: int = Field(
        default=7,
        ge=1,
        le=90,
        description="Days after an opt-in mail during which a further sign-up sends no second one.",
    )


class Subscribe(ActionArguments):
    """Start the double opt-in, or complete the fields of somebody who has it."""

    email: Email = Field(description="Who subscribes.")
    consent: Consent = Field(description="Needed: newsletter. With tracking the mail asks for DOI+.")
    fields: Fields = Field(
        default_factory=dict, description="Standard fields, by Maileon's names: FIRSTNAME, LASTNAME …"
    )
    custom_fields: Mapping[CustomName, Scalar] = Field(
        default_factory=dict, description="Fields of the account. They must exist there; names are case-sensitive."
    )
    doi_mailing: Text | None = Field(default=None, description="Key of the opt-in mailing, instead of the usual one.")
    source_text: Text | None = Field(default=None, max_length=255, description="Where the sign-up came from.")


class Update(ActionArguments):
    """Change fields of a contact that exists; consent stays as it is."""

    email: Email = Field(description="The contact.")
    new_email: Email | None = Field(default=None, description="Its new address.")
    fields: Fields = Field(default_factory=dict, description="Standard fields, by Maileon's names.")
    custom_fields: Mapping[CustomName, Scalar] = Field(default_factory=dict, description="Fields of the account.")


class Unsubscribe(ActionArguments):
    """Unsubscribe; Maileon anonymises the contact."""

    email: Email = Field(description="Who leaves.")
    reason: Text | None = Field(
        default=None, max_length=255, description="Why: one of Maileon's reasons (`no_demand`), or words of your own."
    )


class Subscribed(ActionResult):
    """What `next:` may read after `subscribe`."""

    id: str | None = Field(default=None, description="Maileon's id of the contact, where it named one.")


def _email(arguments: Subscribe | Unsubscribe) -> str:
    return f"email:{arguments.email}"


def _names(arguments: Subscribe | Unsubscribe) -> tuple[Name, ...]:
    return list_names(("email", arguments.email))


def _update_names(arguments: Update) -> tuple[Name, ...]:
    return list_names(("email", arguments.email), ("email", arguments.new_email))


def _email_and_values(arguments: Update) -> str:
    values = arguments.model_dump(mode="json", exclude={"email"}, exclude_defaults=True)
    return f"email:{arguments.email} {json.dumps(values, sort_keys=True)}"


KIND = DestinationKind(
    name="maileon",
    about="Newsletter contacts in Maileon, with double opt-in.",
    options=MaileonOptions,
    stand_in=StandIn(
        {"base": "{sandbox}/maileon/1.0", "api_key": "${SANDBOX_MAILEON_API_KEY}"}, frozenset({"pending_days"})
    ),
    actions={
        kind.name: kind
        for kind in (
            ActionKind(
                name="subscribe",
                about="Start the double opt-in; with tracking, DOI+. Who is pending or confirmed gets no second mail.",
                arguments=Subscribe,
                touches=_names,
                touches_about="email",
                once_by=_email,
                once_by_about="email, while pending or confirmed",
                consent=frozenset({"newsletter", "tracking"}),
                result=Subscribed,
                creates=True,
            ).adopt("found again", rights="contacts: create and update; read, to find what was sent"),
            ActionKind(
                name="update",
                about="Change fields of a contact that exists. Nobody is added.",
                arguments=Update,
                touches=_update_names,
                touches_about="email, new_email",
                once_by=_email_and_values,
                once_by_about="email + values",
            ).adopt("sent again", rights="contacts: update"),
            ActionKind(
                name="unsubscribe",
                about="Unsubscribe everywhere in the account.",
                arguments=Unsubscribe,
                touches=_names,
                touches_about="email",
                once_by=_email,
                once_by_about="email",
                keep_always=True,
                leaves=lambda _: True,
                # Of the others nothing comes back: `contact_field_change` tells of links in mailings only, and `doi`
                # is the person's own click.
                echoes=frozenset({"contact.unsubscribed"}),
            ).adopt("sent again", rights="contacts: delete"),
        )
    },
)


@dataclass(frozen=True)
class MaileonContact:
    """What Maileon tells about a contact that exists."""

    id: str | None
    permission: int


class MaileonClient(Client[MaileonOptions]):
    """Carries out the actions of kind `maileon`."""

    def __init__(self, name: str, options: MaileonOptions, reveal: Reveal, http: Http, memory: Memory) -> None:
        super().__init__(name, options, reveal, http, memory)
        self._base = open_base(options.base, reveal)
        self._headers = HiddenHeaders(Authorization=f"Basic {encode_key(reveal(options.api_key))}")
        #: False once the key proved to have no right to read: the usual recipe grants create and update only.
        self._may_read = True

    async def _subscribe(self, visit: Visit, arguments: Subscribe) -> Done:
        if not arguments.consent.newsletter:
            raise Failed("permanent", "no_consent", hint="a subscription needs newsletter consent")
        done = await self._find_instead(visit, arguments)
        return done or await self._start_opt_in(visit, arguments)

    async def _find_instead(self, visit: Visit, arguments: Subscribe) -> Done | None:
        """Return Done where no mail is needed, None where one is; raise where an earlier attempt leaves doubt."""
        before = f"{self._name}:before:{visit.delivery.id}"
        mark = await self._memory.get(self._mark(arguments.email))
        contact = await self._find(visit, arguments.email) if self._may_read else None
        if not self._may_read:
            if mark == "pending":
                return await self._complete(visit, arguments, "already_pending")
            if visit.delivery.doubtful:
                raise fail_unresolved("the opt-in mail may have been sent, and the key has no right to look")
            return None
        if contact is None:
            await self._memory.set(before, "absent", self._options.pending_days)
            return None
        enough = DOI_PLUS if arguments.consent.tracking else DOI
        if mark != "unsubscribed" and enough <= contact.permission <= DOI_PLUS:
            return await self._complete(visit, arguments, "already_confirmed", contact)
        if mark == "pending":
            return await self._complete(visit, arguments, "already_pending", contact)
        if visit.delivery.doubtful:
            if await self._memory.get(before) != "absent":
                raise fail_unresolved(
                    "the opt-in mail may have been sent: the contact was there before, so nothing shows it"
                )
            await self._remember_pending(arguments.email)
            return await self._complete(visit, arguments, "found", contact)
        return None

    async def _start_opt_in(self, visit: Visit, arguments: Subscribe) -> Done:
        query = {
            "permission": PERMISSION_NONE,
            "sync_mode": SYNC_UPDATE,
            "doi": "true",
            "doiplus": "true" if arguments.consent.tracking else "false",
        }
        if arguments.source_text:
            query["src"] = arguments.source_text
        if doi_mailing := arguments.doi_mailing or self._options.doi_mailing:
            query["doimailing"] = doi_mailing
        answer = await self._send(
            visit, "POST", "/contacts/email/{email}", arguments, query=query, body=_body(arguments), creates=True
        )
        if answer.status == 409:
            raise await count_existing(self._memory, visit.delivery, "contact", answer.status)
        _raise(classify(answer, creates=True, xml=True))
        id = read_id(answer)
        if id is None:
            contact = await self._find(visit, arguments.email) if self._may_read else None
            if contact is None:
                raise Failed(
                    "ambiguous", "no_id", status=answer.status, hint="no id came back, and no contact is shown"
                )
            id = contact.id
        await self._remember_pending(arguments.email)
        return Done(result=drop_nulls({"id": id}), status=answer.status)

    async def _complete(
        self, visit: Visit, arguments: Subscribe, note: str, contact: MaileonContact | None = None
    ) -> Done | None:
        """Write the fields of somebody who needs no mail; None: there is no such contact any more."""
        result = drop_nulls({"id": contact.id if contact else None})
        body = _body(arguments)
        if not body:
            return Done(result=result, note=note)
        answer = await self._send(visit, "PUT", "/contacts/email/{email}", arguments, body=body)
        if answer.status == 404:
            await self._memory.set(self._mark(arguments.email), "", 1)
            return None
        _raise(classify(answer, xml=True))
        return Done(result=result, note=note, status=answer.status)

    async def _update(self, visit: Visit, arguments: Update) -> Done:
        body = _body(arguments)
        email = arguments.email
        if arguments.new_email and arguments.new_email != email:
            email = await self._find_renamed(visit, email, arguments.new_email)
            if email != arguments.new_email:
                body["email"] = arguments.new_email
        if not body:
            return Done(note="nothing_to_change")
        answer = await self._send(visit, "PUT", "/contacts/email/{email}", arguments, email=email, body=body)
        if answer.status == 404:
            return Done(note="not_there", status=answer.status)
        _raise(classify(answer, xml=True))
        if "email" in body and arguments.new_email:
            await self._move_mark(arguments.email, arguments.new_email)
        return Done(status=answer.status)

    async def _find_renamed(self, visit: Visit, email: str, new_email: str) -> str:
        """Return under which address the contact to rename is found: the new one, if it was done already."""
        old = await self._find(visit, email) if self._may_read else None
        new = await self._find(visit, new_email) if self._may_read else None
        if old is not None and new is not None and old.id != new.id:
            raise Failed(
                "transient",
                "two_objects",
                hint=f"the address is contact {old.id}, the new one is contact {new.id}: nothing was written; "
                "mend it there, then release",
            )
        return new_email if new is not None else email

    async def _move_mark(self, email: str, new_email: str) -> None:
        """What is remembered of an address is true of the one that replaces it."""
        if (mark := await self._memory.get(self._mark(email))) is not None:
            days = UNSUBSCRIBED_DAYS if mark == "unsubscribed" else self._options.pending_days
            await self._memory.set(self._mark(new_email), mark, days)
            await self._memory.set(self._mark(email), "", 1)

    async def _unsubscribe(self, visit: Visit, arguments: Unsubscribe) -> Done:
        query = {"reason": _reason(arguments.reason)} if arguments.reason else {}
        answer = await self._send(visit, "DELETE", "/contacts/email/{email}/unsubscribe", arguments, query=query)
        if answer.status == 404:
            done_before = await self._memory.get(self._mark(arguments.email)) == "unsubscribed"
            await self._memory.set(self._mark(arguments.email), "", 1)
            return Done(note="" if done_before else "not_there", status=answer.status)
        failed = classify(answer, xml=True)
        if failed is not None and answer.status == 403:
            failed.hint = "the key has no right to DELETE, which unsubscribing needs"
        _raise(failed)
        await self._memory.set(self._mark(arguments.email), "unsubscribed", UNSUBSCRIBED_DAYS)
        contact = await self._find(visit, arguments.email) if self._may_read else None
        if contact is not None and contact.permission > int(PERMISSION_NONE):
            raise Failed(
                "transient",
                "not_in_force",
                status=200,
                hint="Maileon took it, and the contact still has its permission",
            )
        return Done(status=answer.status)

    async def _find(self, visit: Visit, email: str) -> MaileonContact | None:
        """Return the contact, None where there is none. Learns whether the key may read at all."""
        url = build_url(self._base, "/contacts/email/{email}", email=email)
        answer = await visit.exchange.request("GET", url, headers=self._headers, accept=XML)
        if answer.status == 404:
            return None
        if answer.status in (403, 405):
            self._may_read = False
            return None
        _raise(classify(answer, xml=True))
        contact = MaileonContact(read_id(answer), read_permission(answer))
        shown = read_email(answer)
        if contact.id is None or (shown is not None and not addresses.same_email(shown, email)):
            raise Failed("transient", "bad_answer", status=answer.status, hint="a contact was asked for, and not shown")
        return contact

    async def _send(
        self,
        visit: Visit,
        method: str,
        template: str,
        arguments: Subscribe | Update | Unsubscribe,
        *,
        email: str = "",
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        creates: bool = False,
    ) -> HttpAnswer:
        return await visit.exchange.request(
            method,
            build_url(self._base, template, query, email=email or arguments.email),
            headers=self._headers,
            json=body,
            media_type=JSON,
            accept=XML,
            creates=creates,
        )

    async def _remember_pending(self, email: str) -> None:
        await self._memory.set(self._mark(email), "pending", self._options.pending_days)

    def _mark(self, email: str) -> str:
        return f"{self._name}:opt_in:{email}"

    methods = MappingProxyType({"subscribe": _subscribe, "update": _update, "unsubscribe": _unsubscribe})


DESTINATION = DestinationType(KIND, MaileonClient)


def encode_key(key: str) -> str:
    """Return the key as it stands after `Basic`. Maileon's dialog shows the raw key and also the encoded one."""
    key = key.strip().removeprefix("Basic ").strip()
    try:
        raw = base64.b64decode(key, validate=True)
        if raw and raw.decode("ascii").isprintable() and base64.b64encode(raw).decode() == key:
            return key
    except ValueError:
        pass
    return base64.b64encode(key.encode()).decode()


def read_id(answer: HttpAnswer) -> str | None:
    """Return the contact's id of an answer, in XML as documented or in JSON as asked for."""
    found = re.search(r"<id>\s*(\d+)\s*</id>|\"id\"\s*:\s*\"?(\d+)|^\s*(\d+)\s*$", answer.text)
    return next((group for group in found.groups() if group), None) if found else None


def read_email(answer: HttpAnswer) -> str | None:
    """Return the address of a contact in an answer, None where it shows none."""
    found = re.search(r"<email>([^<]*)</email>|\"email\"\s*:\s*\"([^\"]*)\"", answer.text)
    text = next((group for group in found.groups() if group), "") if found else ""
    return unescape(text).strip() or None


def read_permission(answer: HttpAnswer) -> int:
    """Return the permission of a contact in an answer, by number or by name; what is not understood is none."""
    found = re.search(
        r"<permission>\s*(?:<\w+>\s*)?([\w+]+)|\"permission\"\s*:\s*(?:\{[^}]*?\"(?:code|type)\"\s*:\s*)?\"?([\w+]+)",
        answer.text,
    )
    word = next((group for group in found.groups() if group), "none").lower() if found else "none"
    return int(word) if word.isdecimal() else PERMISSIONS.get(word, 1)


def _body(arguments: Subscribe | Update) -> dict[str, Any]:
    """Return the JSON of the contact; the e-mail stands in the address only. Maileon takes no null."""
    body = {}
    if fields := drop_nulls(arguments.fields):
        body["standard_fields"] = {name: as_text(value) for name, value in fields.items()}
    if custom_fields := drop_nulls(arguments.custom_fields):
        body["custom_fields"] = custom_fields
    return body


def _reason(reason: str) -> str:
    word = reason.partition("|")[0]
    return reason if word in REASONS else f"other|{reason}"


def _raise(failed: Failed | None) -> None:
    if failed is not None:
        raise failed
