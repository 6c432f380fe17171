"""SeminarDesk's Private API: look-ups, and what is written back: status, reference, payment, activity, field.

Takes look-ups and actions; returns Done or raises Failed.
Never makes or deletes a booking, an event or a person, and gives every name in snake_case, as rules have them.

Facts: api-docs.seminardesk.de/private-api, github.com/SeminarDesk/private-api-specs.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, model_validator

from rules.catalogue import ActionKind, DestinationKind, Name, StandIn
from rules.secret import Secret
from workers.destinations.base import (
    ID_DAYS,
    ActionArguments,
    ActionResult,
    Base,
    Client,
    DestinationOptions,
    DestinationType,
    Id,
    Memory,
    Money,
    Reveal,
    Scalar,
    Text,
    Visit,
    dig,
    drop_nulls,
    fail_unresolved,
    list_names,
    open_base,
    rename_keys,
)
from workers.destinations.classify import ErrorRule, classify
from workers.destinations.finding import count_existing, same_id
from workers.http import HiddenHeaders, Http, HttpAnswer, build_url
from workers.outcome import Done, Failed

#: Status that a rule wants -> its route, and SeminarDesk's word for it.
BOOKING_STATES: Mapping[str, tuple[str, str]] = {
    "confirmed": ("confirm", "CONFIRMED"),
    "canceled": ("cancel", "CANCELED"),
    "no_show": ("no-show", "NO_SHOW"),
    "wait_list": ("wait-list", "WAIT_LIST"),
}
#: Both say that nobody comes: a booking that was cancelled while it waited has a word of its own.
CANCELED = ("CANCELED", "WAIT_LIST_CANCELED")

#: What has additional fields -> the path of one.
WITH_FIELDS: Mapping[str, str] = {"profile": "profiles", "event": "events", "date": "dates"}

#: 501 is SeminarDesk's word for "API not active or module not enabled": nothing passes until somebody switches it on.
ERRORS = (ErrorRule.model_validate({"status": [501], "is": "credential", "code": "api_not_active"}),)
NOT_ACTIVE = (
    "SeminarDesk answers 501: the Private API, or the module that this needs, is not switched on for this tenant; "
    "their support switches it on, then the destination goes on by itself"
)


class SeminarDeskOptions(DestinationOptions):
    """What ops may write under a destination of kind `seminardesk`."""

    base: Base = Field(description="Address of the tenant's API: https://nord.seminardesk.de/private-api")
    api_key: Secret = Field(description="A key with the permissions that the rules need.")
    system: int = Field(
        default=1, description="Number of the external system in SeminarDesk that references are written for."
    )


class ById(ActionArguments):
    """Look an object up by its number."""

    id: Id = Field(description="SeminarDesk's number of it.")


class AddExternalReference(ActionArguments):
    """Write at an invoice which id it has in another system."""

    invoice: Id = Field(description="SeminarDesk's number of the invoice.")
    external_id: Id = Field(description="Its id in the other system.")
    system: int | None = Field(default=None, description="Number of the external system; default: the destination's.")
    url: Text | None = Field(
        default=None, max_length=2083, description="Not sent: SeminarDesk makes the address itself, from the system's."
    )


class SetBookingStatus(ActionArguments):
    """Confirm a booking, cancel it, put it on the waiting list, or write down that nobody came."""

    booking: Id = Field(description="SeminarDesk's number of the booking.")
    status: Literal["confirmed", "canceled", "no_show", "wait_list"]
    reason: Text | None = Field(default=None, description="Why it is cancelled; needed for that, and for nothing else.")
    send_email: bool = Field(
        default=False, description="Let SeminarDesk write to the booker. It writes to nobody of a no-show."
    )

    @model_validator(mode="after")
    def _has_a_reason(self) -> "SetBookingStatus":
        if (self.status == "canceled") is not bool(self.reason):
            raise ValueError("needs a reason where the status is canceled, and only there")
        if self.status == "no_show" and self.send_email:
            raise ValueError("sends no e-mail of a no_show: take send_email out")
        return self


class AddPayment(ActionArguments):
    """Write at an invoice that it was paid, or a part of it; an amount below zero pays back."""

    invoice: Id = Field(description="SeminarDesk's number of the invoice.")
    reference: Id = Field(description="Your own id of the payment: one reference is one payment.")
    #: How much was paid.
    amount: Money
    method: Id = Field(description="SeminarDesk's code of the way of payment.")
    paid_on: date = Field(description="The day.")
    #: More about it.
    remarks: Text | None = None


class AddActivity(ActionArguments):
    """Write at a person or organisation what happened with them."""

    profile: Id = Field(description="SeminarDesk's number of the person or organisation.")
    activity_type: int = Field(description="Number of the kind of activity, from SeminarDesk's setup.")
    #: What happened, on one line.
    title: Text = Field(min_length=1, max_length=255)
    begin: datetime = Field(description="When it happened, or began.")
    #: When it ended.
    end: datetime | None = None
    #: More about it.
    remarks: Text | None = None


class SetAdditionalField(ActionArguments):
    """Write one additional field of a profile, an event or a date; null empties it."""

    profile: Id | None = Field(default=None, description="The profile; or event, or date.")
    event: Id | None = Field(default=None, description="The event, by its number.")
    date: Id | None = Field(default=None, description="The event date.")
    field: Id = Field(description="SeminarDesk's number of the field.")
    #: What the field is to hold.
    value: Scalar

    @model_validator(mode="after")
    def _is_one(self) -> "SetAdditionalField":
        if sum(getattr(self, kind) is not None for kind in WITH_FIELDS) != 1:
            raise ValueError("needs one of profile, event, date")
        return self


class ReferenceDone(ActionResult):
    """What `next:` may read after `add_external_reference`."""

    id: int | None = Field(default=None, description="SeminarDesk's number of the reference.")


class PaymentWritten(ActionResult):
    """What `next:` may read after `add_payment`."""

    id: int | None = Field(default=None, description="SeminarDesk's number of the payment, where it named one.")


class BookingStatusDone(ActionResult):
    """What `next:` may read after `set_booking_status`."""

    status: str | None = Field(default=None, description="The status that the booking shows.")


class Salutation(ActionResult):
    """How a person is addressed."""

    name: str | None = None
    gender: str | None = None


class FoundCountry(ActionResult):
    """A country."""

    code: str | None = None
    name: str | None = None
    localized_name: str | None = None


class FoundAddress(ActionResult):
    """Where somebody lives."""

    care_of: str | None = None
    street_address: str | None = None
    street_address2: str | None = None
    zip_code: str | None = None
    city: str | None = None
    province: str | None = None
    country: FoundCountry | None = None


class FoundPerson(ActionResult):
    """A person or an organization, as the Private API has them (the webhooks use other names for phones)."""

    id: int
    object_type: str | None = None
    name: str | None = None
    salutation: Salutation | None = None
    title: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    alternative_email: str | None = None
    phone1: str | None = None
    phone2: str | None = None
    phone3: str | None = None
    language: str | None = None
    primary_address: FoundAddress | None = None
    billing_address: FoundAddress | None = None
    is_subscribed_to_newsletter: bool | None = None
    is_blocked: bool | None = None
    customer_number: str | None = None


class Named(ActionResult):
    """A reference to something that has a name."""

    id: int | None = None
    name: str | None = None


class FoundBooking(ActionResult):
    """A booking as it stands now."""

    id: int
    booker: Named | None = None
    status: str | None = None
    guests: list[dict[str, Any]] | None = None
    open_balance: float | None = None
    number_of_invoices: int | None = None
    voucher_code: str | None = None
    external_identifier: str | None = None


class FoundGuests(ActionResult):
    """The guests of a booking, each with its event date, status and items."""

    guests: list[dict[str, Any]]


class FoundEvent(ActionResult):
    """An event, by the number that the Private API knows it by; webhooks have another id."""

    id: int
    name: str | None = None
    additional_fields: list[dict[str, Any]] | None = None


class FoundDate(ActionResult):
    """An event date; its number is the same in the webhooks."""

    id: int
    name: str | None = None
    begin: str | None = None
    end: str | None = None
    event_id: int | None = None
    status: Any = None
    attendance_type: str | None = None


class FoundPlatformInvoice(ActionResult):
    """An invoice of SeminarDesk as it stands now."""

    id: int
    status: str | None = None
    type: str | None = None
    number: str | None = None
    recipient: Named | None = None
    total_amount: float | None = None
    current_payment_amount: float | None = None
    current_balance: float | None = None
    external_references: list[dict[str, Any]] | None = None


def _field_owner(arguments: SetAdditionalField) -> tuple[Name, ...]:
    return list_names(*((kind, getattr(arguments, kind)) for kind in WITH_FIELDS))


def _names(arguments: AddExternalReference) -> tuple[Name, ...]:
    return list_names(("invoice", arguments.invoice))


def _reference(arguments: AddExternalReference) -> str:
    return f"invoice:{arguments.invoice} {arguments.system or ''}:{arguments.external_id}"


def _look_up(name: str, about: str, result: type[ActionResult], key: str) -> ActionKind:
    return ActionKind(
        name=name,
        about=about,
        arguments=ById,
        touches=lambda arguments: list_names((key, arguments.id)),
        touches_about="nothing",
        once_by=None,
        once_by_about="-",
        result=result,
        look_up=True,
    )


KIND = DestinationKind(
    name="seminardesk",
    about="SeminarDesk's Private API: look-ups, and what is written back: status, reference, payment, activity, field.",
    options=SeminarDeskOptions,
    stand_in=StandIn(
        {"base": "{sandbox}/seminardesk/private-api", "api_key": "${SANDBOX_SEMINARDESK_API_KEY}"},
        frozenset({"system"}),
    ),
    actions={
        kind.name: kind
        for kind in (
            _look_up("person", "The person behind a booking: name, e-mail, address.", FoundPerson, "profile"),
            _look_up("profile", "A person or an organization.", FoundPerson, "profile"),
            _look_up("organisation", "An organisation, by its number.", FoundPerson, "profile"),
            _look_up("booking", "A booking as it stands now.", FoundBooking, "booking"),
            _look_up("guests", "The guests of a booking.", FoundGuests, "booking"),
            _look_up("event", "An event, by its number.", FoundEvent, "event"),
            _look_up("date", "An event date.", FoundDate, "date"),
            _look_up("invoice", "An invoice as it stands now.", FoundPlatformInvoice, "invoice"),
            ActionKind(
                name="set_booking_status",
                about="Confirm or cancel a booking, put it on the waiting list, or write down that nobody came.",
                arguments=SetBookingStatus,
                touches=lambda arguments: list_names(("booking", arguments.booking)),
                touches_about="booking",
                once_by=lambda arguments: f"booking:{arguments.booking} {arguments.status}",
                once_by_about="booking + status",
                result=BookingStatusDone,
                keep_always=True,
            ).adopt("found again", rights="bookings: read and write"),
            ActionKind(
                name="add_payment",
                about="Write down that an invoice was paid, or a part of it.",
                arguments=AddPayment,
                touches=lambda arguments: list_names(("invoice", arguments.invoice), ("payment", arguments.reference)),
                touches_about="invoice, reference",
                once_by=lambda arguments: f"payment:{arguments.reference}",
                once_by_about="reference",
                result=PaymentWritten,
                keep_always=True,
                creates=True,
                owed=True,
            ).adopt(
                "found again",
                rights="invoices: read, payments: write",
                limits="only invoices that have one source take payments",
            ),
            ActionKind(
                name="add_activity",
                about="Write at a person or organisation what happened with them.",
                arguments=AddActivity,
                touches=lambda arguments: list_names(("profile", arguments.profile)),
                touches_about="profile",
                once_by=None,
                once_by_about="delivery",
                creates=True,
            ).adopt("held", rights="profiles: write"),
            ActionKind(
                name="set_additional_field",
                about="Write one additional field of a profile, an event or a date.",
                arguments=SetAdditionalField,
                touches=_field_owner,
                touches_about="profile, event or date",
                once_by=lambda arguments: f"{_field_owner(arguments)[0].key} {arguments.field}={arguments.value}",
                once_by_about="field + value",
            ).adopt("sent again", rights="profiles, events or dates: write"),
            ActionKind(
                name="add_external_reference",
                about="Write at an invoice which id it has in another system.",
                arguments=AddExternalReference,
                touches=_names,
                touches_about="invoice",
                once_by=_reference,
                once_by_about="invoice + external_id",
                result=ReferenceDone,
                creates=True,
            ).adopt(
                "found again",
                rights="invoices: read and write",
                limits="references of other objects: their API takes them only when those are made",
            ),
        )
    },
)


class SeminarDeskClient(Client[SeminarDeskOptions]):
    """Carries out the actions of kind `seminardesk`."""

    def __init__(self, name: str, options: SeminarDeskOptions, reveal: Reveal, http: Http, memory: Memory) -> None:
        super().__init__(name, options, reveal, http, memory)
        self._base = open_base(options.base, reveal)
        self._headers = HiddenHeaders({"X-API-Key": reveal(options.api_key)})

    async def _look_up_person(self, visit: Visit, arguments: ById) -> Done:
        return await self._look_up(visit, "/persons/{id}", arguments)

    async def _look_up_profile(self, visit: Visit, arguments: ById) -> Done:
        return await self._look_up(visit, "/profiles/{id}", arguments)

    async def _look_up_booking(self, visit: Visit, arguments: ById) -> Done:
        return await self._look_up(visit, "/bookings/{id}", arguments)

    async def _look_up_organisation(self, visit: Visit, arguments: ById) -> Done:
        return await self._look_up(visit, "/organizations/{id}", arguments)

    async def _look_up_event(self, visit: Visit, arguments: ById) -> Done:
        return await self._look_up(visit, "/events/{id}", arguments)

    async def _look_up_date(self, visit: Visit, arguments: ById) -> Done:
        return await self._look_up(visit, "/dates/{id}", arguments)

    async def _look_up_invoice(self, visit: Visit, arguments: ById) -> Done:
        return await self._look_up(visit, "/invoices/{id}", arguments)

    async def _look_up_guests(self, visit: Visit, arguments: ById) -> Done:
        answer = await self._get(visit, "/bookings/{id}/guests", arguments.id)
        found = answer.json()
        if not isinstance(found, list):
            raise Failed("transient", "bad_answer", status=answer.status, hint="guests did not come as a list")
        return Done(result={"guests": rename_keys(found)}, status=answer.status)

    async def _set_booking_status(self, visit: Visit, arguments: SetBookingStatus) -> Done:
        route, word = BOOKING_STATES[arguments.status]
        reached = CANCELED if word == "CANCELED" else (word,)
        done = Done(result={"status": arguments.status}, note="already_there", status=200)
        if await self._booking_status(visit, arguments.booking) in reached:
            return done
        body: dict[str, Any] = {} if word == "NO_SHOW" else {"sendStatusEmail": arguments.send_email}
        if arguments.reason:
            body["reason"] = arguments.reason
        url = build_url(self._base, f"/bookings/{{id}}/{route}", id=arguments.booking)
        answer = await visit.exchange.request("PUT", url, headers=self._headers, json=body or None)
        failed = judge(answer)
        shown = None if failed is not None else dig(answer.json(), "status")
        if shown not in reached and (failed is None or answer.status == 400):  # 400: a lost answer had done it before.
            shown = await self._booking_status(visit, arguments.booking)
        if shown in reached:
            return done if failed is not None else replace(done, note="")
        _raise(failed)
        hint = "they took it, and the booking does not show it"
        raise Failed("transient", "not_in_force", status=answer.status, hint=hint)

    async def _booking_status(self, visit: Visit, id: str) -> Any:
        return dig((await self._get(visit, "/bookings/{id}", id)).json(), "status")

    async def _add_payment(self, visit: Visit, arguments: AddPayment) -> Done:
        """Write a payment. Nothing lists them: what an invoice says that was paid tells whether it was written."""
        mark = f"{self._name}:payment:{arguments.reference}"
        known = await self._memory.get(mark)
        if known == "done":
            return Done(note="already_there")
        answer = await self._get(visit, "/invoices/{id}", arguments.invoice)
        paid = _to_decimal(dig(answer.json(), "currentPaymentAmount"))
        if known is not None and (visit.delivery.doubtful or visit.delivery.attempt > 1):
            before = Decimal(known)
            if paid == before + arguments.amount:
                await self._memory.set(mark, "done", ID_DAYS)
                return Done(note="already_there", status=answer.status)
            if paid != before:
                raise fail_unresolved("the payment may have been written: compare the payments of the invoice")
        if paid is None:
            if visit.delivery.doubtful:
                raise fail_unresolved("the payment may have been written, and the invoice does not tell what was paid")
        else:
            await self._memory.set(mark, str(paid), ID_DAYS)
        body = {
            "amount": float(arguments.amount),
            "method": {"code": arguments.method},
            "date": arguments.paid_on.isoformat(),
        }
        url = build_url(self._base, "/invoices/{id}/payments", id=arguments.invoice)
        answer = await visit.exchange.request(
            "POST", url, headers=self._headers, json=body | drop_nulls({"remarks": arguments.remarks}), creates=True
        )
        _raise(judge(answer, creates=True))
        await self._memory.set(mark, "done", ID_DAYS)
        made = dig(answer.json(), "id")
        return Done(result={"id": made} if isinstance(made, int) else {}, status=answer.status)

    async def _add_activity(self, visit: Visit, arguments: AddActivity) -> Done:
        if visit.delivery.doubtful:
            raise fail_unresolved("the activity may have been written, and activities cannot be searched")
        body = {
            "activityType": {"id": arguments.activity_type},
            "title": arguments.title,
            "begin": arguments.begin.isoformat(),
            "end": arguments.end.isoformat() if arguments.end is not None else None,
            "remarks": arguments.remarks,
        }
        url = build_url(self._base, "/profiles/{id}/activities", id=arguments.profile)
        answer = await visit.exchange.request("POST", url, headers=self._headers, json=drop_nulls(body), creates=True)
        _raise(judge(answer, creates=True))
        return Done(status=answer.status)

    async def _set_field(self, visit: Visit, arguments: SetAdditionalField) -> Done:
        (owner,) = _field_owner(arguments)
        template = f"/{WITH_FIELDS[owner.kind]}/{{id}}/additional-fields/{{field}}"
        url = build_url(self._base, template, id=owner.value, field=arguments.field)
        answer = await visit.exchange.request("PATCH", url, headers=self._headers, json={"value": arguments.value})
        _raise(judge(answer))
        return Done(status=answer.status)

    async def _look_up(self, visit: Visit, template: str, arguments: ById) -> Done:
        answer = await self._get(visit, template, arguments.id)
        found = answer.json()
        if not isinstance(found, Mapping):
            raise Failed(
                "transient", "bad_answer", status=answer.status, hint="a look-up did not answer with an object"
            )
        result = rename_keys(found)
        if isinstance(result.get("status"), str):
            result["status"] = result["status"].lower()  # As in the events: confirmed, wait_list.
        return Done(result=result, status=answer.status)

    async def _add_reference(self, visit: Visit, arguments: AddExternalReference) -> Done:
        system = arguments.system if arguments.system is not None else self._options.system
        mark = f"{self._name}:reference:{arguments.invoice}:{system}:{arguments.external_id}"
        if await self._memory.get(mark):
            return Done(note="already_there")
        if visit.delivery.doubtful or visit.delivery.attempt > 1:
            found = await self._find_reference(visit, arguments, system)
            if found is not None:
                await self._memory.set(mark, "1", ID_DAYS)
                return Done(result=found, note="already_there", status=200)
        answer = await visit.exchange.request(
            "POST",
            build_url(self._base, "/invoices/{id}/external-references", id=arguments.invoice),
            headers=self._headers,
            json={"system": {"id": system}, "externalId": arguments.external_id},
            creates=True,
        )
        failed = judge(answer, creates=True)
        if failed is not None and failed.code == "conflict" and answer.status == 409:
            if (found := await self._find_reference(visit, arguments, system)) is None:
                raise await count_existing(self._memory, visit.delivery, "reference", answer.status)
            await self._memory.set(mark, "1", ID_DAYS)
            return Done(result=found, note="already_there", status=answer.status)
        _raise(failed)
        made = dig(answer.json(), "id")
        if made is None and (found := await self._find_reference(visit, arguments, system)) is not None:
            made = found["id"]
        elif made is None:
            raise Failed("ambiguous", "no_id", status=answer.status, hint="no id came back, and no reference is shown")
        await self._memory.set(mark, "1", ID_DAYS)
        return Done(result={} if made is None else {"id": made}, status=answer.status)

    async def _find_reference(
        self, visit: Visit, arguments: AddExternalReference, system: int
    ) -> Mapping[str, Any] | None:
        answer = await self._get(visit, "/invoices/{id}", arguments.invoice)
        for reference in dig(answer.json(), "externalReferences") or ():
            if dig(reference, "system.id") == system and same_id(dig(reference, "externalId"), arguments.external_id):
                return {"id": dig(reference, "id")}
        return None

    async def _get(self, visit: Visit, template: str, id: str) -> HttpAnswer:
        answer = await visit.exchange.request("GET", build_url(self._base, template, id=id), headers=self._headers)
        _raise(judge(answer))
        return answer

    methods = MappingProxyType(
        {
            "person": _look_up_person,
            "profile": _look_up_profile,
            "booking": _look_up_booking,
            "organisation": _look_up_organisation,
            "guests": _look_up_guests,
            "event": _look_up_event,
            "date": _look_up_date,
            "invoice": _look_up_invoice,
            "set_booking_status": _set_booking_status,
            "add_payment": _add_payment,
            "add_activity": _add_activity,
            "set_additional_field": _set_field,
            "add_external_reference": _add_reference,
        }
    )


DESTINATION = DestinationType(KIND, SeminarDeskClient)


def judge(answer: HttpAnswer, *, creates: bool = False) -> Failed | None:
    """Return what an answer means; None for done."""
    failed = classify(answer, creates=creates, rules=ERRORS)
    if failed is not None and failed.code == "api_not_active":
        failed.hint = NOT_ACTIVE
    return failed


def _to_decimal(value: Any) -> Decimal | None:
    """Return an amount of JSON to the cent, None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(Decimal(str(value)), 2)


def _raise(failed: Failed | None) -> None:
    if failed is not None:
        raise failed
