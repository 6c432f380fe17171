"""Maileon: subscriptions with double opt-in, fields, unsubscriptions, transactions.

Takes the arguments of its actions; returns Done or raises Failed.
Never sets a confirmed permission by itself and never sends a second opt-in mail when in doubt.

Facts: support.maileon.com, REST API 1.0 (create-contact, update-contact-by-email, unsubscribe-contacts-by-email,
http-status-codes), and XQueue's own PHP and n8n clients.
"""

import base64
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from mailroom.sentences import say
from rules import addresses
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
    MissingRight,
    Reveal,
    Scalar,
    Text,
    Visit,
    as_text,
    dig,
    drop_nulls,
    fail_unresolved,
    list_names,
    open_base,
)
from workers.destinations.classify import classify, explain
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

CUSTOM_FIELDS = "/contacts/fields/custom"
TYPES_PATH = "/transactions/types"
#: As many on a page as XQueue's PHP client asks for when it looks a type up by its name (its default is 10).
TYPES_PAGE = 1000
#: How many Maileon gives at most is not documented. Page sizes are round: a list of a round length may be one page of
#: more, and says nothing of a type that it lacks; then Maileon itself says whether it knows the type.
ROUND = 10
#: Seconds that a list of the account is believed.
LISTED = 600.0
DAY = 86_400  # seconds

#: Method that a key may lack -> what does not work then, and whether something is refused for it.
RIGHTS: Mapping[str, tuple[str, bool]] = {
    "GET": ("it cannot look whether somebody is confirmed or pending, and a mail in doubt waits for a person", False),
    "POST": ("subscribe, resend_opt_in and send_transaction are refused", True),
    "PUT": ("update is refused, and so are the fields of somebody who is confirmed already", True),
    "DELETE": ("unsubscribe is refused", True),
}

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
    make_custom_fields: bool = Field(
        default=False, description="Make custom fields that the account does not have, by the type of the value."
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


class ResendOptIn(ActionArguments):
    """Send the opt-in mail once more to somebody who has not followed its link. Nobody is added."""

    email: Email = Field(description="Who signed up.")
    consent: Consent = Field(description="Needed: newsletter. With tracking the mail asks for DOI+.")
    after_days: int = Field(default=3, ge=1, le=90, description="Not before so many days after the last mail.")
    doi_mailing: Text | None = Field(default=None, description="Key of the opt-in mailing, instead of the usual one.")


class SendTransaction(ActionArguments):
    """Send a transaction, for which Maileon writes its mail: a booking's confirmation, a voucher."""

    email: Email = Field(description="To whom.")
    type: Id = Field(description="Name of the transaction type, which must exist in the account.")
    content: Mapping[str, Scalar] = Field(default_factory=dict, description="Its attributes, by their names.")
    make_contact: bool = Field(default=False, description="Make a contact without any permission, if there is none.")


class Subscribed(ActionResult):
    """What `next:` may read after `subscribe`."""

    id: str | None = Field(default=None, description="Maileon's id of the contact, where it named one.")


class TransactionSent(ActionResult):
    """What `next:` may read after `send_transaction`."""

    id: str | None = Field(default=None, description="Maileon's id of the transaction, where it named one.")


def _email(arguments: Subscribe | Unsubscribe | ResendOptIn) -> str:
    return f"email:{arguments.email}"


def _names(arguments: Subscribe | Unsubscribe | ResendOptIn | SendTransaction) -> tuple[Name, ...]:
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
    deletes=lambda _: say("deletes_contact"),
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
            ActionKind(
                name="resend_opt_in",
                about="Send the opt-in mail once more to somebody who is pending still.",
                arguments=ResendOptIn,
                touches=_names,
                touches_about="email",
                once_by=_email,
                once_by_about="email, within after_days",
                consent=frozenset({"newsletter", "tracking"}),
                creates=True,
            ).adopt("held", rights="contacts: read and create"),
            ActionKind(
                name="send_transaction",
                about="Send a transaction, for which Maileon writes its mail.",
                arguments=SendTransaction,
                touches=_names,
                touches_about="email",
                once_by=None,
                once_by_about="delivery",
                result=TransactionSent,
                keep_always=True,
                creates=True,
                owed=True,
            ).adopt(
                "held", rights="transactions: create; read, to look its type up", limits="9,000,000 bytes a request"
            ),
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
        #: Names of the account's custom fields and transaction types as they were listed, and when (seconds).
        self._listed: dict[str, tuple[float, frozenset[str]]] = {}

    async def _subscribe(self, visit: Visit, arguments: Subscribe) -> Done:
        if not arguments.consent.newsletter:
            raise Failed("permanent", "no_consent", hint="a subscription needs newsletter consent")
        await self._check_fields(visit, arguments.custom_fields)
        done = await self._find_instead(visit, arguments)
        return done or await self._start_opt_in(visit, arguments)

    async def _find_instead(self, visit: Visit, arguments: Subscribe) -> Done | None:
        """Return Done where no mail is needed, None where one is; raise where an earlier attempt leaves doubt."""
        before = f"{self._name}:before:{visit.delivery.id}"
        mark = await self._memory.get(self._mark(arguments.email))
        contact = await self._find(visit, arguments.email) if self._may_read else None
        if not self._may_read:
            if _is_pending(mark):
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
        if _is_pending(mark):
            return await self._complete(visit, arguments, "already_pending", contact)
        if visit.delivery.doubtful:
            if await self._memory.get(before) != "absent":
                raise fail_unresolved(
                    "the opt-in mail may have been sent: the contact was there before, so nothing shows it"
                )
            await self._remember_pending(arguments.email)
            return await self._complete(visit, arguments, "found", contact)
        return None

    def _opt_in_query(self, arguments: Subscribe | ResendOptIn) -> dict[str, str]:
        query = {
            "permission": PERMISSION_NONE,
            "sync_mode": SYNC_UPDATE,
            "doi": "true",
            "doiplus": "true" if arguments.consent.tracking else "false",
        }
        if doi_mailing := arguments.doi_mailing or self._options.doi_mailing:
            query["doimailing"] = doi_mailing
        return query

    async def _resend_opt_in(self, visit: Visit, arguments: ResendOptIn) -> Done:
        if not arguments.consent.newsletter:
            raise Failed("permanent", "no_consent", hint="an opt-in mail needs newsletter consent")
        mark = await self._memory.get(self._mark(arguments.email)) or ""
        if mark == "unsubscribed":
            return Done(note="not_there")
        # A mark of an earlier version does not say when: its mail was sent less than `pending_days` ago.
        sent = float(mark.partition(" ")[2] or (time.time() if mark else 0))
        if time.time() - sent < arguments.after_days * DAY:
            return Done(note="already_sent")
        contact = await self._find(visit, arguments.email)
        if not self._may_read:
            raise Failed("permanent", "forbidden", hint="the key has no right to look whether somebody is pending")
        if contact is None:
            return Done(note="not_there", status=404)
        if contact.permission > int(PERMISSION_NONE):
            return Done(note="already_confirmed", status=200)
        if visit.delivery.doubtful:
            raise fail_unresolved("the opt-in mail may have been sent again, and nothing shows it")
        query = self._opt_in_query(arguments)
        answer = await self._send(
            visit, "POST", "/contacts/email/{email}", arguments, query=query, body={}, creates=True
        )
        _raise(classify(answer, creates=True, xml=True))
        await self._remember_pending(arguments.email)
        return Done(status=answer.status)

    async def _send_transaction(self, visit: Visit, arguments: SendTransaction) -> Done:
        if visit.delivery.doubtful:
            raise fail_unresolved("the mail may have been sent, and transactions cannot be searched")
        query = {"page_index": "1", "page_size": str(TYPES_PAGE)}
        types = await self._list(visit, TYPES_PATH, arguments.type, query)
        if types is not None and arguments.type not in types and len(types) % ROUND:
            hint = "the account has no transaction type of this name: make it there; names are case-sensitive"
            raise Failed("permanent", "unknown_type", status=200, hint=hint)
        one: dict[str, Any] = {"typeName": arguments.type, "content": drop_nulls(arguments.content)}
        if arguments.make_contact:
            one["import"] = {"contact": {"email": arguments.email, "permission": int(PERMISSION_NONE)}}
        else:
            one["contact"] = {"email": arguments.email}
        # Else it answers 200 to what it ignores, and only the report says so.
        url = build_url(self._base, "/transactions", {"ignore_invalid_transactions": "false"})
        answer = await visit.exchange.request(
            "POST", url, headers=self._headers, json=[one], media_type="application/json", creates=True
        )
        _raise(classify(answer, creates=True))
        reports = dig(answer.json(), "reports")
        report = reports[0] if isinstance(reports, list) and reports and isinstance(reports[0], Mapping) else {}
        if report.get("queued") is False:
            raise Failed("permanent", "not_queued", status=answer.status, hint=explain(answer))
        if report.get("queued") is not True:
            raise Failed("ambiguous", "bad_answer", status=answer.status, hint="no report said whether it is queued")
        id = report.get("transaction_id")
        return Done(result=drop_nulls({"id": None if id is None else str(id)}), status=answer.status)

    async def _list(
        self, visit: Visit, path: str, wanted: str, query: Mapping[str, str] = MappingProxyType({})
    ) -> frozenset[str] | None:
        """Return the names of a list of the account, kept for a while; None where it cannot be read."""
        at, names = self._listed.get(path, (0.0, frozenset()))
        if wanted in names and time.monotonic() - at < LISTED:
            return names
        url = build_url(self._base, path, query)
        answer = await visit.exchange.request("GET", url, headers=self._headers, accept=XML)
        if answer.status in (403, 404, 405, 501):
            return None
        _raise(classify(answer, xml=True))
        # The attributes of a transaction type have names of their own.
        text = re.sub(r"<attributes>.*?</attributes>", "", answer.text, flags=re.DOTALL)
        names = frozenset(unescape(name).strip() for name in re.findall(r"<name>([^<]*)</name>", text))
        if not names and not re.search(r"<(?:custom_fields|transaction_types)\b", text):
            return None  # Another shape than the documented one: nothing is known, and nothing refused for it.
        self._listed[path] = time.monotonic(), names
        return names

    async def _check_fields(self, visit: Visit, fields: Mapping[str, Scalar]) -> None:
        """Make the custom fields that the account does not have, or say which those are. Raises Failed."""
        for name, value in drop_nulls(fields).items():
            known = await self._list(visit, CUSTOM_FIELDS, name)
            if known is None or name in known:
                continue
            if not self._options.make_custom_fields:
                hint = f"the account has no custom field {name}: make it there, or say make_custom_fields: true"
                raise Failed("permanent", "unknown_field", status=200, hint=hint)
            url = build_url(self._base, CUSTOM_FIELDS + "/{name}", {"type": _type_of(value)}, name=name)
            answer = await visit.exchange.request("POST", url, headers=self._headers, accept=XML)
            if answer.status != 400:  # 400: somebody made it just now; the write that follows tells.
                _raise(classify(answer, xml=True))
            self._listed.pop(CUSTOM_FIELDS, None)

    async def list_missing_rights(self) -> Sequence[MissingRight]:
        """Return what the key may not do, by Maileon's own test of each right."""
        missing = []
        for method, (what, needed) in RIGHTS.items():
            exchange = self._http.exchange()
            answer = await exchange.request(method, build_url(self._base, "/ping"), headers=self._headers, accept=XML)
            if answer.status in (403, 405):
                missing.append(MissingRight(f"may not {method}: {what}", needed))
            else:
                _raise(classify(answer, xml=True))
        return missing

    async def _start_opt_in(self, visit: Visit, arguments: Subscribe) -> Done:
        query = self._opt_in_query(arguments)
        if arguments.source_text:
            query["src"] = arguments.source_text
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
        await self._check_fields(visit, arguments.custom_fields)
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

    async def delete_person(self, email: str) -> int:
        """Really delete a contact, its statistics too; "unsubscribe" would keep them. Raises Failed."""
        visit = self.visit(Attempt("no delivery"))
        url = build_url(self._base, "/contacts/email/{email}", email=email)
        answer = await visit.exchange.request("DELETE", url, headers=self._headers, accept=XML)
        if answer.status == 404:
            return 0
        _raise(classify(answer, xml=True))
        return 1

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
        arguments: Subscribe | Update | Unsubscribe | ResendOptIn,
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
        await self._memory.set(self._mark(email), f"pending {int(time.time())}", self._options.pending_days)

    def _mark(self, email: str) -> str:
        return f"{self._name}:opt_in:{email}"

    methods = MappingProxyType(
        {
            "subscribe": _subscribe,
            "update": _update,
            "unsubscribe": _unsubscribe,
            "resend_opt_in": _resend_opt_in,
            "send_transaction": _send_transaction,
        }
    )


DESTINATION = DestinationType(KIND, MaileonClient)


def _is_pending(mark: str | None) -> bool:
    """Tell whether an opt-in mail was sent a short while ago: `pending 1764403200`, with the time of the mail."""
    return mark is not None and mark.startswith("pending")


def _type_of(value: Scalar) -> str:
    """Return Maileon's type for a custom field that holds such a value."""
    words: Mapping[type, str] = {bool: "boolean", int: "integer", float: "float"}
    return words.get(type(value), "string")


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
