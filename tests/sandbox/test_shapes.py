"""SeminarDesk's stand-in against its published specification: what an object must have, and the words of enumerations.

Written from private-api.json of github.com/SeminarDesk/private-api-specs. Lexware and HubSpot are asked by clients that
validate (tests/clients).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.sandbox.conftest import Send

GENDERS = {"UNKNOWN", "DIVERSE", "FEMALE", "MALE"}
USER = {"username": str, "roleName": str, "isActive": bool, "isContactPerson": bool}
MODEL = {"id": int, "objectInfo": {"createdBy": USER, "changedBy": USER}}
STATES = {"PENDING", "CONFIRMED", "WAIT_LIST", "CANCELED", "WAIT_LIST_CANCELED", "NO_SHOW"}
PERIOD = {"begin": str, "end": str}
TYPES = {"EVENT", "ACCOMMODATION", "MEALS", "MISC", "RENT", "CREDIT", "PAYMENT_FEE"}
GUEST = {"eventDate": {"id": int}, "guest": dict, "items": [{"status": STATES, "type": {"type": TYPES}}]}
BOOKING = MODEL | {"booker": {"id": int}, "status": STATES, "guests": [GUEST], "referenceNumbers": (str, None)}
INVOICE = MODEL | {
    "amount": float,
    "date": str,
    "isSplitInvoice": bool,
    "organization": {"name": str},
    "periodOfService": PERIOD,
    "recipient": {"id": int, "type": {"PERSON", "ORGANIZATION"}},
    "status": {"DRAFT", "POSTED", "CANCELED"},
    "template": str,
    "type": {"INVOICE", "CREDIT_INVOICE", "CANCELATION_INVOICE"},
    "items": [
        {
            "number": int,
            "text": str,
            "grossAmount": float,
            "netAmount": float,
            "periodOfService": PERIOD,
            "taxRate": {"value": float},
            "sources": [{"id": int}],
        }
    ],
}
PROFILE = MODEL | {"name": str, "salutation": {"name": str, "gender": GENDERS}}
PERSON = PROFILE | {
    "lastName": str,
    "objectType": {"PersonProfile"},
    "preferredEmail": {"PRIVATE", "ALTERNATIVE", "INVOICE", "PRIMARY_ORGANIZATION"},
}
ORGANISATION = PROFILE | {
    "objectType": {"OrganizationProfile"},
    "preferredEmail": {"BUSINESS", "ALTERNATIVE", "INVOICE"},
}
DATE = MODEL | {"name": str, "begin": str, "end": str, "status": {"id": int}}
EVENT = MODEL | {
    "name": str,
    "internalOrganizer": dict,
    "bookingSettings": {
        "allowChildren": bool,
        "isMultiPart": bool,
        "mode": {"SEPARATE_BOOKING_PER_DATE", "SINGLE_BOOKING"},
    },
    "publishingSettings": {"status": {"UNPUBLISHED", "PUBLISHED"}, "title": str},
}


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/persons/4711", PERSON),
        ("/profiles/4711", PERSON),
        ("/organizations/8", ORGANISATION),
        ("/bookings/9001", BOOKING),
        ("/bookings/9001/guests", [GUEST]),
        ("/bookings/9001/invoices", {"data": [INVOICE]}),
        ("/invoices/5001", INVOICE),
        ("/events/71", EVENT),
        ("/dates/709", DATE),
    ],
)
def test_shape(seminardesk: Send, path: str, shape: Any) -> None:
    """Each object has what the specification requires, of its type."""
    answer = seminardesk("GET", path)
    assert answer.status == 200
    assert list(differences(shape, answer.json())) == []


def differences(shape: Any, value: Any, at: str = "") -> Iterator[str]:
    """Yield where a value is not as its shape: a type, several of them, words, or what is inside."""
    match shape:
        case Mapping():
            for name, inner in shape.items():
                if not isinstance(value, Mapping) or name not in value:
                    yield f"{at}.{name} is missing"
                else:
                    yield from differences(inner, value[name], f"{at}.{name}")
        case [inner]:
            if not isinstance(value, list) or not value:
                yield f"{at} is no list that has something"
            else:
                for number, each in enumerate(value):
                    yield from differences(inner, each, f"{at}[{number}]")
        case set():
            if value not in shape:
                yield f"{at} is {value!r}"
        case tuple():
            if value is not None and not isinstance(value, shape[0]):
                yield f"{at} is {value!r}"
        case _:
            if not isinstance(value, shape):
                yield f"{at} is {value!r}"
