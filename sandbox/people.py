"""Invented people and their bookings: the seed data of the SeminarDesk imitation.

Comes in: an id. Goes out: a record in the shape of the Private API. The ids are those of the recorded webhook bodies
under console/demo/fixtures; any other id below UNKNOWN_FROM gets a person made up from its number, so that rule authors
can use their own. Nobody here exists.
"""

from typing import Any

#: Ids from this one on do not exist: a look-up answers 404.
UNKNOWN_FROM = 900_000

#: id -> salutation, title, first name, last name, e-mail, phone, newsletter.
PERSONS: dict[int, tuple[str, str | None, str, str, str, str | None, bool]] = {
    4711: ("Frau", "Dr.", "Ada", "Beispiel", "ada@example.org", "+493012345678", True),
    4712: ("Frau", None, "Eva", "Muster", "eva@example.org", "+493012345679", False),
    4713: ("Herr", None, "Jean", "Exemple", "jean@example.org", None, False),
    4714: ("Herr", "Prof.", "Otto", "Probst", "otto@example.org", "+494012345670", True),
    4715: ("Divers", None, "Kim", "Vorlage", "kim@example.org", None, False),
}

#: Booking -> booker, where a recorded webhook names both. Other bookings get one of the people above.
BOOKERS = {9001: 4711, 9002: 4712, 9003: 4713, 9005: 4715, 9006: 4714}

GENDERS = {"Frau": "FEMALE", "Herr": "MALE", "Divers": "DIVERSE"}

USER = {
    "id": 1,
    "name": "Sandbox",
    "username": "sandbox",
    "roleName": "Office",
    "isActive": True,
    "isContactPerson": False,
}

CHANGED = {
    "createdAt": "2026-01-05T09:00:00Z",
    "createdBy": USER,
    "changedAt": "2026-01-05T09:00:00Z",
    "changedBy": USER,
}


def person(number: int) -> dict[str, Any] | None:
    """Return the person of an id, None where there is none."""
    if not 0 < number < UNKNOWN_FROM:
        return None
    made_up = ("Frau", None, "Muster", f"Nummer {number}", f"person-{number}@example.org", None, False)
    salutation, title, first_name, last_name, email, phone, newsletter = PERSONS.get(number, made_up)
    return {
        "id": number,
        "objectType": "PersonProfile",
        "salutation": {"name": salutation, "gender": GENDERS[salutation]},
        "title": title,
        "firstName": first_name,
        "lastName": last_name,
        "name": f"{first_name} {last_name}",
        "email": email,
        "alternativeEmail": None,
        "phone1": phone,
        "phone2": None,
        "phone3": None,
        "language": "DE",
        "primaryAddress": {
            "careOf": None,
            "streetAddress": "Musterweg 1",
            "streetAddress2": None,
            "zipCode": "10115",
            "city": "Berlin",
            "province": None,
            "country": {"code": "DE", "name": "Germany", "localizedName": "Deutschland"},
        },
        "billingAddress": None,
        "preferredEmail": "PRIVATE",
        "isSubscribedToNewsletter": newsletter,
        "isBlocked": False,
        "customerNumber": f"K-{number}",
        "labels": [],
        "additionalFields": [],
        "dataProtection": {"legalBasisEntries": [], "consentHistoryEntries": []},
        "notes": [],
        "tasks": [],
        "externalReferences": [],
        "objectInfo": dict(CHANGED),
    }


def organisation(number: int) -> dict[str, Any] | None:
    """Return the organisation of an id, None where there is none. Any id is one: the numbers of persons are others."""
    if not 0 < number < UNKNOWN_FROM:
        return None
    found = person(number) or {}
    kept = ("id", "language", "primaryAddress", "isBlocked", "customerNumber", "labels", "notes", "tasks")
    return {
        **{name: found[name] for name in (*kept, "additionalFields", "externalReferences", "objectInfo")},
        "objectType": "OrganizationProfile",
        "name": f"Verein Nummer {number}",
        "additionalName": None,
        "salutation": {"name": "Firma", "gender": "UNKNOWN"},
        "email": f"verein-{number}@example.org",
        "preferredEmail": "BUSINESS",
    }


def event(number: int) -> dict[str, Any] | None:
    """Return the event of an id, None where there is none."""
    if not 0 < number < UNKNOWN_FROM:
        return None
    return {
        "id": number,
        "name": "Atem und Stille",
        "shortName": None,
        "internalOrganizer": {"code": "SB", "name": "Seminarhaus Beispiel"},
        "bookingSettings": {"mode": "SEPARATE_BOOKING_PER_DATE", "isMultiPart": False, "allowChildren": False},
        "publishingSettings": {"status": "PUBLISHED", "title": "Atem und Stille"},
        "labels": [],
        "additionalFields": [],
        "notes": [],
        "tasks": [],
        "externalReferences": [],
        "objectInfo": dict(CHANGED),
    }


def invoice(number: int) -> dict[str, Any] | None:
    """Return the invoice of an id, posted and addressed to one of the persons, None where there is none."""
    if not 0 < number < UNKNOWN_FROM:
        return None
    recipient = sorted(PERSONS)[number % len(PERSONS)]
    _, _, first_name, last_name, *_ = PERSONS[recipient]
    return {
        "id": number,
        "status": "POSTED",
        "type": "INVOICE",
        "organization": {"code": "SB", "name": "Seminarhaus Beispiel"},
        "date": "2026-11-02",
        "dueDate": "2026-11-16",
        "recipient": {
            "id": recipient,
            "name": f"{first_name} {last_name}",
            "customerNumber": f"K-{recipient}",
            "type": "PERSON",
        },
        "recipientName": f"{first_name} {last_name}",
        "number": f"RE-{number}",
        "periodOfService": {"begin": "2026-12-04", "end": "2026-12-06"},
        "template": "Standard",
        "isSplitInvoice": False,
        "amount": 240.0,
        "totalAmount": 240.0,
        "currentPaymentAmount": 0.0,
        "currentBalance": 240.0,
        "referenceNumbers": [],
        "items": [
            {
                "number": 1,
                "text": "Kursgebühr",
                "periodOfService": {"begin": "2026-12-04", "end": "2026-12-06"},
                "grossAmount": 240.0,
                "netAmount": 201.68,
                "taxRate": {"value": 0.19},
                "sources": [{"id": number + 4000, "name": "Buchung"}],
            }
        ],
        "notes": [],
        "tasks": [],
        "externalReferences": [],
        "objectInfo": dict(CHANGED),
    }


def booking(number: int) -> dict[str, Any] | None:
    """Return the booking of an id, confirmed, None where there is none."""
    if not 0 < number < UNKNOWN_FROM:
        return None
    booker = BOOKERS.get(number, sorted(PERSONS)[number % len(PERSONS)])
    _, _, first_name, last_name, *_ = PERSONS[booker]
    name = f"{first_name} {last_name}"
    return {
        "id": number,
        "booker": {"id": booker, "name": name},
        "status": "CONFIRMED",
        "externalRemarks": None,
        "internalRemarks": None,
        "paymentMethod": None,
        "labels": [],
        "referenceNumbers": None,
        "voucherCode": None,
        "guests": [
            {
                "id": number * 10,
                "eventDate": {"id": 709, "name": "Atem und Stille"},
                "event": {"id": 71, "name": "Atem und Stille"},
                "guest": {"profile": {"id": booker, "name": name}},
                "status": "CONFIRMED",
                "guestType": {"id": 1, "name": "Teilnehmer", "type": "PARTICIPANT"},
                "attendanceType": "ON_SITE",
                "items": [
                    {
                        "id": number * 100,
                        "type": {"type": "EVENT", "logicalType": "EVENT"},
                        "status": "CONFIRMED",
                        "begin": "2026-12-04",
                        "end": "2026-12-06",
                        "text": "Kursgebühr",
                        "calculatedPrice": 240.0,
                        "actualPrice": 240.0,
                        "taxRate": {"value": 0.19},
                        "quantity": 1,
                    }
                ],
                "begin": "2026-12-04",
                "end": "2026-12-06",
            }
        ],
        "numberOfInvoices": 1,
        "openBalance": 240.0,
        "payments": [],
        "externalIdentifier": None,
        "notes": [],
        "tasks": [],
        "externalReferences": [],
        "objectInfo": dict(CHANGED),
    }


def date(number: int) -> dict[str, Any] | None:
    """Return a date of a seminar of the Private API: 709, of which the bookings are."""
    if number >= UNKNOWN_FROM or number < 1:
        return None
    return {
        "id": number,
        "eventId": 88,
        "name": "Atem und Stille, Winter",
        "shortName": None,
        "status": {
            "id": 1,
            "name": "Findet statt",
            "bookingAllowed": True,
            "isCanceled": False,
        },
        "begin": "2026-12-04T18:00:00+01:00",
        "end": "2026-12-06T13:00:00+01:00",
        "attendanceType": "ON_SITE",
        "venue": {"id": 3, "name": "Haus am See", "streetAddress": "Uferweg 1", "zipCode": "12345", "city": "Seedorf"},
        "publishingSettings": {
            "title": "Atem und Stille",
            "priceInfo": None,
            "status": "available",
            "autoUpdateStatus": False,
            "allowFlexibleAttendance": False,
            "allowFlexibleStay": False,
        },
        "labels": [],
        "additionalFields": [],
        "facilitators": [{"profile": {"id": 4799, "name": "Lea Leiterin"}, "fee": 400.0, "additionalInfo": "leitet"}],
        "costs": [],
        "internalRemarks": "nicht weitersagen",
        "notes": [],
        "tasks": [],
        "externalReferences": [],
        "objectInfo": dict(CHANGED),
    }
