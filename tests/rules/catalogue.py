"""A small catalogue for the tests of `rules`, which know no adapter: platforms like the real ones, a generic one,
and a newsletter, a CRM, an invoicing and an API destination."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rules.catalogue import ActionKind, Catalogue, DestinationKind, Name, SourceKind
from rules.consent import Consent
from rules.event_types import TYPES
from rules.secret import Secret


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class ToyNoOptions(Strict):
    pass


class ToyRead(Strict):
    id: str | None = None
    type: str
    order_key: str | None = None


class ToyGenericOptions(Strict):
    read: ToyRead


class NewsletterOptions(Strict):
    api_key: Secret
    base: str = "https://api.example.org"


class ToyAuth(Strict):
    bearer: Secret


class ToyRestOptions(Strict):
    base: str
    auth: ToyAuth


class ApiOptions(Strict):
    base: str
    api_key: Secret


class ToySubscribe(Strict):
    email: str
    consent: Consent
    fields: dict[str, str | int | float | bool] = {}
    custom_fields: dict[str, str | int | float | bool] = {}
    doi_mailing: str | None = None


class ToyUnsubscribe(Strict):
    email: str
    reason: str | None = None


class ToyUpdate(Strict):
    email: str
    fields: dict[str, str | int | float | bool] = {}


class ToyUpsertContact(Strict):
    email: str | None = None
    external_id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not (self.email or self.external_id):
            raise ValueError("needs email or external_id")
        return self


class ToySetConsent(Strict):
    email: str
    newsletter: bool | None = None
    tracking: bool | None = None


class ToyAddNote(Strict):
    email: str | None = None
    phone: str | None = None
    text: str = Field(min_length=1)


class ToyCustomer(Strict):
    email: str
    name: str | None = None
    tax_number: str | None = None


class ToyLine(Strict):
    model_config = ConfigDict(extra="ignore")

    text: str
    quantity: float = 1
    unit_price: float = 0
    discount: float | None = None


class ToyCreateInvoice(Strict):
    reference: str
    customer: ToyCustomer
    lines: list[ToyLine]
    currency: str = "EUR"


class AddReference(Strict):
    invoice: int
    external_id: str


class ToyFindPerson(Strict):
    id: int


class ToyInvoice(BaseModel):
    id: str


class ToyPerson(BaseModel):
    id: int
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None


def by_email(arguments: Any) -> str:
    return f"email:{arguments.email}"


def named(**strong: Any) -> tuple[Name, ...]:
    return tuple(Name(kind, str(value)) for kind, value in strong.items() if value)


def action(name: str, arguments: type[BaseModel], **more: Any) -> ActionKind:
    settings: dict[str, Any] = {
        "about": f"{name}.",
        "touches": lambda a: named(email=a.email),
        "touches_about": "email",
        "once_by": by_email,
        "once_by_about": "email",
        **more,
    }
    return ActionKind(name=name, arguments=arguments, **settings)


NEWSLETTER = DestinationKind(
    "maileon",
    "Newsletters.",
    NewsletterOptions,
    {
        "subscribe": action("subscribe", ToySubscribe, consent=frozenset({"newsletter", "tracking"})),
        "update": action("update", ToyUpdate),
        "unsubscribe": action("unsubscribe", ToyUnsubscribe, keep_always=True),
    },
)
REST = DestinationKind(
    "rest",
    "A CRM and an invoicing system.",
    ToyRestOptions,
    {
        "upsert_contact": action(
            "upsert_contact",
            ToyUpsertContact,
            touches=lambda a: named(external_id=a.external_id, email=a.email),
            once_by=lambda a: f"email:{a.email}" if a.email else f"external_id:{a.external_id}",
        ),
        "set_consent": action("set_consent", ToySetConsent, keep_always=True),
        "add_note": action("add_note", ToyAddNote, once_by=None, touches=lambda a: named(email=a.email or a.phone)),
        "create_invoice": action(
            "create_invoice",
            ToyCreateInvoice,
            touches=lambda a: named(invoice=a.reference, email=a.customer.email),
            once_by=lambda a: f"invoice:{a.reference}",
            result=ToyInvoice,
            creates=True,
            refuses={"customer.tax_number": "it keeps no tax numbers", "lines.discount": "it gives no discounts"},
        ),
    },
    cannot={"record_payment": "its API has no route for payments"},
)
API = DestinationKind(
    "seminardesk",
    "The platform's own API.",
    ApiOptions,
    {
        "person": action(
            "person", ToyFindPerson, look_up=True, result=ToyPerson, touches=lambda a: named(profile=a.id), once_by=None
        ),
        "add_external_reference": action(
            "add_external_reference",
            AddReference,
            touches=lambda a: named(invoice=a.invoice),
            once_by=lambda a: f"{a.invoice} {a.external_id}",
        ),
    },
)

SEMINARS = SourceKind(
    "seminardesk",
    "Bookings.",
    ToyNoOptions,
    frozenset(name for name in TYPES if name.split(".")[0] in ("booking", "profile", "invoice", "seminar")),
)
MAILING = SourceKind(
    "activetrail", "Contacts.", ToyNoOptions, frozenset(name for name in TYPES if name.startswith("contact."))
)
SIGN_UP = SourceKind("cmxorganize", "Sign-ups.", ToyNoOptions, frozenset({"newsletter.signup"}))
GENERIC = SourceKind("generic", "Anybody.", ToyGenericOptions, frozenset())


CATALOGUE = Catalogue(
    sources={kind.name: kind for kind in (SEMINARS, MAILING, SIGN_UP, GENERIC)},
    destinations={kind.name: kind for kind in (NEWSLETTER, REST, API)},
    types=TYPES,
)
