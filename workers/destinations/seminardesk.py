"""SeminarDesk's Private API: look people and bookings up, write back the id that another system gave an invoice.

Takes look-ups and one action; returns Done or raises Failed.
Never makes or changes a booking, and gives every name in snake_case, as rules have them.

Facts: api-docs.seminardesk.de/private-api, github.com/SeminarDesk/private-api-specs.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import Field

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
    Reveal,
    Text,
    Visit,
    dig,
    list_names,
    open_base,
    rename_keys,
)
from workers.destinations.classify import ErrorRule, classify
from workers.destinations.finding import count_existing, same_id
from workers.http import HiddenHeaders, Http, HttpAnswer, build_url
from workers.outcome import Done, Failed

#: 501 is SeminarDesk's word for "API not active or module not enabled": nothing passes until somebody switches it on.
ERRORS = (ErrorRule.model_validate({"status": [501], "is": "credential", "code": "api_not_active"}),)


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


class ReferenceDone(ActionResult):
    """What `next:` may read after `add_external_reference`."""

    id: int | None = Field(default=None, description="SeminarDesk's number of the reference.")


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
    about="SeminarDesk's Private API: look-ups, and references written back to invoices.",
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
            _look_up("booking", "A booking as it stands now.", FoundBooking, "booking"),
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
            ).adopt("found again"),
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
        failed = classify(answer, creates=True, rules=ERRORS)
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
        _raise(classify(answer, rules=ERRORS))
        return answer

    methods = MappingProxyType(
        {
            "person": _look_up_person,
            "profile": _look_up_profile,
            "booking": _look_up_booking,
            "add_external_reference": _add_reference,
        }
    )


DESTINATION = DestinationType(KIND, SeminarDeskClient)


def _raise(failed: Failed | None) -> None:
    if failed is not None:
        raise failed
