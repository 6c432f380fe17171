"""etracker: what became of a lead that a web page tracked: still a lead, a sale, cancelled, and for how much.

Takes the arguments of its actions; returns Done or raises Failed. Each writes a state: a second time changes nothing.
Never makes an order: etracker knows only those that its script has seen on a page.

Facts: etracker, Technisches Handbuch 5.2 (2014), chapter 7.3, "Lead to Sale Confirmation"; the reference of today's API
could not be read, so address, names of fields and the way to prove oneself are options (docs/destinations/etracker.md).
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from rules.catalogue import ActionKind, DestinationKind, Name, StandIn
from rules.secret import Secret
from rules.verify import Header
from workers.destinations.base import (
    ActionArguments,
    Base,
    Client,
    DestinationOptions,
    DestinationType,
    Id,
    Memory,
    Money,
    Reveal,
    Visit,
    list_names,
    open_base,
)
from workers.destinations.classify import classify
from workers.http import HiddenHeaders, Http, HttpAnswer, build_url
from workers.outcome import Done, Failed, Failure

LEAD, SALE, CANCELLED = "0", "1", "2"

#: `ERR: n` -> code and sentence.
ERRORS: Mapping[int, tuple[str, str]] = {
    0: ("no_account_key", "etracker asks for the account key"),
    1: ("no_api_key", "etracker asks for the API key"),
    2: ("no_order", "etracker asks for the number of the order"),
    3: ("nothing_said", "etracker asks for a state or an amount"),
    4: ("wrong_account_key", "etracker does not know the account key"),
    5: ("wrong_api_key", "etracker does not know the API key"),
    6: (
        "unknown_order",
        "etracker does not know the order, or not yet: only what its script has seen can be confirmed",
    ),
}

#: What becomes of it where the book says nothing else. An order may only not be there yet.
MEANINGS: Mapping[int, Failure] = {
    0: "credential",
    1: "credential",
    2: "permanent",
    3: "permanent",
    4: "credential",
    5: "credential",
    6: "transient",
}

_ERR = re.compile(r"\s*ERR\s*:?\s*(\d)\b", re.IGNORECASE)


def _read_order(text: str) -> str:
    if len(text) > 50 or "," in text or ";" in text:
        raise ValueError("must have 50 characters at the most, no comma and no semicolon")
    return text


def _read_numbers(meanings: Mapping[int, Failure]) -> Mapping[int, Failure]:
    if strange := sorted(set(meanings) - set(ERRORS)):
        raise ValueError(f"{', '.join(map(str, strange))}: etracker has ERR 0 to 6")
    return meanings


FieldName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\[\]-]+$")]


class EtrackerFields(DestinationOptions):
    """What etracker calls the fields of a confirmation."""

    #: The field of account key 1.
    account_key: FieldName = "et"
    #: The field of the API key.
    api_key: FieldName = "et_key"
    #: The field of the number of the lead.
    order: FieldName = "et_tonr"
    #: The field of what became of it.
    status: FieldName = "et_sale"
    #: The field of its worth.
    amount: FieldName = "et_profit"


class EtrackerOptions(DestinationOptions):
    """What ops may write under a destination of kind `etracker`."""

    account_key: Secret | None = Field(default=None, description="Account key 1, of Settings > Setup/Tracking code.")
    api_key: Secret | None = Field(default=None, description="The API key, of the same page.")
    token: Secret | None = Field(default=None, description="An access token, sent in a header beside or instead.")
    token_header: Header = Field(default="X-ET-Token", description="The header of the token.")
    base: Base = Field(default="https://www.etracker.de", description="Address of the interface.")
    path: str = Field(default="/lsconfirm.php", pattern=r"^/[!-~]*$", description="Path behind it.")
    method: Literal["POST", "GET"] = Field(
        default="POST", description="GET writes keys and order into the address, which proxies write down."
    )
    fields: EtrackerFields = Field(default=EtrackerFields(), description="Names of the fields.")
    meanings: Annotated[Mapping[int, Failure], AfterValidator(_read_numbers)] = Field(
        default_factory=dict, description="What becomes of an ERR, where it is to be something else: {6: permanent}."
    )

    @model_validator(mode="after")
    def _proves_itself(self) -> "EtrackerOptions":
        if self.token is None and (self.account_key is None or self.api_key is None):
            raise ValueError("needs account_key and api_key, or token")
        return self


class OrderArguments(ActionArguments):
    """Which order."""

    order: Annotated[Id, AfterValidator(_read_order)] = Field(description="Its number, as the web page tracked it.")


class OrderState(OrderArguments):
    """Say what an order is."""

    amount: Money | None = Field(default=None, ge=0, description="What it is worth, net.")


class OrderCancelled(OrderArguments):
    """Say that an order was cancelled, all of it."""


class OrderAmount(OrderArguments):
    """Say what an order is worth, less than before where a part of it was cancelled."""

    amount: Money = Field(ge=0, description="What it is worth, net.")


def _names(arguments: OrderArguments) -> tuple[Name, ...]:
    return list_names(("order", arguments.order))


def _make_action(name: str, about: str, model: type[OrderArguments], *, keep_always: bool = False) -> ActionKind:
    def once_by(arguments: Any) -> str:
        return f"order:{arguments.order} {name} {getattr(arguments, 'amount', None)}"

    return ActionKind(
        name=name,
        about=about,
        arguments=model,
        touches=_names,
        touches_about="order",
        once_by=once_by,
        once_by_about="order + values",
        keep_always=keep_always,
    ).adopt(
        "sent again",
        rights="account key and API key of the account",
        limits="none documented; of the Report API 50 calls in 5 minutes",
    )


KIND = DestinationKind(
    name="etracker",
    about="etracker: what became of a tracked lead (lead to sale).",
    options=EtrackerOptions,
    stand_in=StandIn(
        {
            "base": "{sandbox}/etracker",
            "account_key": "${SANDBOX_ETRACKER_ACCOUNT_KEY}",
            "api_key": "${SANDBOX_ETRACKER_API_KEY}",
        }
    ),
    actions={
        kind.name: kind
        for kind in (
            _make_action("confirm_lead", "Say that an order is a lead, still or again.", OrderState),
            _make_action("confirm_sale", "Say that a lead has become a sale.", OrderState),
            _make_action("cancel_sale", "Say that an order was cancelled.", OrderCancelled, keep_always=True),
            _make_action("set_amount", "Say what an order is worth.", OrderAmount),
        )
    },
)


class EtrackerClient(Client[EtrackerOptions]):
    """Carries out the actions of kind `etracker`."""

    def __init__(self, name: str, options: EtrackerOptions, reveal: Reveal, http: Http, memory: Memory) -> None:
        super().__init__(name, options, reveal, http, memory)
        self._base = open_base(options.base, reveal)
        keys = {options.fields.account_key: options.account_key, options.fields.api_key: options.api_key}
        self._keys = HiddenHeaders({field: reveal(key) for field, key in keys.items() if key is not None})
        self._headers = HiddenHeaders({options.token_header: reveal(options.token)} if options.token else {})

    async def _confirm_lead(self, visit: Visit, arguments: OrderState) -> Done:
        return await self._tell(visit, arguments.order, LEAD, arguments.amount)

    async def _confirm_sale(self, visit: Visit, arguments: OrderState) -> Done:
        return await self._tell(visit, arguments.order, SALE, arguments.amount)

    async def _cancel_sale(self, visit: Visit, arguments: OrderCancelled) -> Done:
        return await self._tell(visit, arguments.order, CANCELLED, None)

    async def _set_amount(self, visit: Visit, arguments: OrderAmount) -> Done:
        return await self._tell(visit, arguments.order, None, arguments.amount)

    async def _tell(self, visit: Visit, order: str, status: str | None, amount: Decimal | None) -> Done:
        names = self._options.fields
        form = {**self._keys, names.order: order}
        if status is not None:
            form[names.status] = status
        if amount is not None:
            form[names.amount] = f"{amount:.2f}"
        posts = self._options.method == "POST"
        answer = await visit.exchange.request(
            self._options.method,
            build_url(self._base + self._options.path, "", None if posts else form),
            headers=self._headers,
            form=form if posts else None,
            accept="text/plain",
        )
        self._judge(answer)
        return Done(status=answer.status)

    def _judge(self, answer: HttpAnswer) -> None:
        """Raise what an answer means, if it is not OK."""
        if answer.ok and answer.text.strip() == "OK":
            return
        if (said := _ERR.match(answer.text)) is not None and (number := int(said[1])) in ERRORS:
            code, hint = ERRORS[number]
            raise Failed(
                self._options.meanings.get(number, MEANINGS[number]),
                code,
                wait=answer.wait(),
                status=answer.status,
                hint=hint,
            )
        failed = classify(answer)
        if failed is None:
            hint = "it said success, and neither OK nor ERR: n"
            failed = Failed("transient", "bad_answer", status=answer.status, hint=hint)
        raise failed

    methods = MappingProxyType(
        {
            "confirm_lead": _confirm_lead,
            "confirm_sale": _confirm_sale,
            "cancel_sale": _cancel_sale,
            "set_amount": _set_amount,
        }
    )


DESTINATION = DestinationType(KIND, EtrackerClient)
