"""Payloads as SeminarDesk's specification allows them, as strategies of hypothesis: one for each action.

Written after the vendor's OpenAPI files of webhooks and Private API, `main` of January and `next` of March 2026. What
is nullable there may be null here, what is not required may be absent, texts by language are lists, words are those of
the enums. Not generated, because no SeminarDesk sends it: ids below 1, instants beyond the year 9999, amounts beyond
10^9, control characters in texts.
"""

from typing import Any

from hypothesis import strategies as st

Payloads = st.SearchStrategy[Any]
Fields = dict[str, Payloads]

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=12)
ID = st.integers(1, 2**63 - 1)
INTEGER = st.integers(-(2**31), 2**31)
COUNT = st.integers(0, 1000)
BOOLEAN = st.booleans()
AMOUNT = st.floats(-1e9, 1e9) | st.integers(-(10**9), 10**9)
SHARE = st.floats(0, 1)
DAY = st.dates().filter(lambda day: day.year > 1900).map(str)
MOMENT = st.datetimes().filter(lambda at: 1900 < at.year < 9999).map(lambda at: f"{at.isoformat()}Z")
#: Milliseconds since 1970.
STAMP = st.integers(0, 253_402_300_799_999)
EMAIL = st.sampled_from(["ada@example.org", "Eva.Muster+kurs@mail.example.org", "jean@xn--bcher-kva.example"])
ADDRESS = st.sampled_from(["https://haus.example.org/bild.jpg", "http://haus.example.org/?a=1&b=ä"])
UUID = st.uuids().map(str)
ANY = st.none() | TEXT | INTEGER | BOOLEAN | st.lists(TEXT, max_size=2)


def word(*words: str) -> Payloads:
    """Return one of an enum."""
    return st.sampled_from(words)


def null(inner: Payloads) -> Payloads:
    """Return what is nullable."""
    return st.none() | inner


def several(inner: Payloads, least: int = 0) -> Payloads:
    """Return an array."""
    return st.lists(inner, min_size=least, max_size=2)


def record(required: Fields, optional: Fields | None = None) -> Payloads:
    """Return an object."""
    return st.fixed_dictionaries(required, optional=optional or {})


LOCALIZED = several(record({"language": word("DE", "EN", "FR") | TEXT}, {"value": TEXT}))
NAMED = record({"id": ID}, {"name": TEXT})
LABEL = record(
    {
        "id": ID,
        "abbreviation": TEXT,
        "name": TEXT,
        "description": null(LOCALIZED),
        "pictureUrl": null(LOCALIZED),
        "labelGroup": record({}, {"id": ID, "name": TEXT}),
    }
)
ADDITIONAL_FIELD = record(
    {"id": ID, "name": TEXT, "value": TEXT, "description": TEXT, "isUsed": BOOLEAN, "order": INTEGER}
)
PICTURE = record(
    {"url": LOCALIZED, "width": COUNT, "height": COUNT, "fileSize": ID},
    {"alternativeText": LOCALIZED, "title": LOCALIZED, "caption": LOCALIZED},
)
EVENT = record(
    {
        "id": UUID.map(lambda each: each.replace("-", "")),
        **dict.fromkeys(("title", "subtitle", "teaser", "description", "bookingPageUrl"), LOCALIZED),
        **dict.fromkeys(("headerPictureUrl", "teaserPictureUrl", "infoDatesPrices", "infoMisc"), LOCALIZED),
        "facilitators": several(record({"id": ID})),
        "contactPersons": several(record({"firstName": TEXT, "lastName": TEXT, "phone": TEXT, "email": TEXT})),
        **dict.fromkeys(("registrationAvailable", "detailpageAvailable", "previewAvailable"), BOOLEAN),
        "datesAreCoherent": BOOLEAN,
        "labels": several(LABEL),
        # Demanded without a shape: one name is a slip of the pen, the other a remainder.
        "infoBoardLoding": null(LOCALIZED),
        "status": ANY,
    },
    {
        "infoBoardLodging": LOCALIZED,
        "additionalFields": several(ADDITIONAL_FIELD),
        # next
        "headerPicture": null(PICTURE),
        "teaserPicture": null(PICTURE),
        "availability": word(
            "UNTIL_BEFORE_FIRST_DATE", "UNTIL_AFTER_FIRST_DATE", "UNTIL_BEFORE_LAST_DATE", "UNTIL_AFTER_LAST_DATE"
        ),
        **dict.fromkeys(("childrenAllowed", "showAttendanceFees", "onlyBoardAndLodging", "allowVoucher"), BOOLEAN),
        **dict.fromkeys(("showFacilitators", "showNewsletterCheckbox", "requireOnlinePayment"), BOOLEAN),
    },
)
VENUE = record(
    {"id": ID, "name": TEXT},
    {
        **dict.fromkeys(("street1", "street2", "zip", "city", "country", "weblink", "phone", "remarks"), TEXT),
        "email": EMAIL,
        "directionMapUrl": ADDRESS,
    },
)
EVENT_DATE = record(
    {
        "id": ID,
        "eventId": UUID,
        "status": record({"name": TEXT, "bookingAllowed": BOOLEAN, "isCanceled": BOOLEAN}),
        "beginDate": STAMP,
        "endDate": STAMP,
        "title": LOCALIZED,
        "attendanceType": word("ONLINE", "ON_SITE", "SELECTABLE"),
        "facilitators": several(
            record({"id": ID, "name": TEXT, "order": INTEGER}, {"additionalInfo": null(LOCALIZED)})
        ),
    },
    {
        "bookingPageStatus": word("available", "limited", "fully_booked", "wait_list", "just_on_list", "canceled"),
        **dict.fromkeys(("registrationStart", "registrationEnd", "publishedFrom", "publishedUntil"), null(STAMP)),
        "priceInfo": null(LOCALIZED),
        "venue": null(VENUE),
        "labels": several(LABEL),
        "additionalFields": several(ADDITIONAL_FIELD),
        "allowFlexibleAttendance": BOOLEAN,
        **dict.fromkeys(("attendanceStartUntil", "attendanceEndFrom"), null(DAY)),
        **dict.fromkeys(("minAttendanceLength", "maxAttendanceLength"), null(INTEGER)),
        **dict.fromkeys(("earlyArrivalMode", "lateDepartureMode"), st.integers(0, 3)),
        # next
        "number": TEXT,
        "additionalInfo": null(LOCALIZED),
    },
)
LABEL_GROUP = record(
    {"id": ID, "name": TEXT, "abbreviation": TEXT, "labels": several(LABEL)},
    {"description": LOCALIZED, "pictureUrl": LOCALIZED},
)
STREET = {
    **dict.fromkeys(("careOf", "streetAddress", "streetAddress2", "zipCode", "city", "province"), null(TEXT)),
    "country": null(record({}, {"code": TEXT, "name": TEXT, "localizedName": TEXT})),
}
PROFILE = {"id": ID, "salutation": TEXT, "name": TEXT}
PROFILE_MORE = {
    **dict.fromkeys(("language", "website", "faxNumber", "remarks", "information", "blockedReason"), null(TEXT)),
    **dict.fromkeys(("taxNumber", "vatId", "customerNumber"), null(TEXT)),
    "labels": null(several(LABEL)),
    "email": null(EMAIL),
    "alternativeEmail": null(EMAIL),
    "primaryAddress": record({}, STREET),
    "billingAddressActive": BOOLEAN,
    "billingAddress": record({"name": TEXT}, {**STREET, "email": EMAIL}),
    "isBlocked": BOOLEAN,
    "bankAccountData": null(record({}, dict.fromkeys(("bankName", "iban", "bic", "accountHolder"), null(TEXT)))),
    "additionalFields": st.dictionaries(TEXT, ANY, max_size=2),
}
PERSON_MORE = {
    **PROFILE_MORE,
    "title": TEXT,
    **dict.fromkeys(("firstName", "additionalTitle", "profession"), null(TEXT)),
    **dict.fromkeys(("privatePhoneNumber", "alternativePhoneNumber", "workPhoneNumber"), null(TEXT)),
    "dateOfBirth": null(DAY),
    "salutationType": null(word("FORMAL", "INFORMAL")),
    "preferredAddress": null(word("PRIVATE", "INVOICE", "PRIMARY_ORGANIZATION")),
    "preferredEmail": null(word("PRIVATE", "ALTERNATIVE", "INVOICE", "PRIMARY_ORGANIZATION")),
    "preferredPhoneNumber": null(word("PRIVATE", "ALTERNATIVE", "BUSINESS", "PRIMARY_ORGANIZATION")),
    "isSubscribedToNewsletter": BOOLEAN,
    "isFacilitator": BOOLEAN,
}
PERSON = record({**PROFILE, "objectType": word("PERSON"), "lastName": TEXT}, PERSON_MORE)
ORGANIZATION = record({**PROFILE, "objectType": word("ORGANIZATION")}, {**PROFILE_MORE, "additionalName": null(TEXT)})
FACILITATOR = record(
    {**PROFILE, "objectType": word("PERSON", "ORGANIZATION"), "lastName": TEXT},
    {**PERSON_MORE, "about": LOCALIZED, "pictureUrl": null(ADDRESS)},
)

USER = record(
    {"username": TEXT, "roleName": TEXT, "isContactPerson": BOOLEAN, "isActive": BOOLEAN},
    {
        **dict.fromkeys(("firstName", "lastName", "phone", "department"), null(TEXT)),
        "email": null(EMAIL),
        "memberOf": null(several(record({"name": TEXT}, {"remarks": TEXT}))),
    },
)
OBJECT_INFO = record({}, {"createdAt": MOMENT, "createdBy": null(USER), "changedAt": MOMENT, "changedBy": null(USER)})
SCOPE = word("GENERAL", "EVENT", "MEALS", "ACCOMMODATION")
#: The parts of a booking and of an invoice beside their own.
BASE_MODEL = {
    "notes": null(several(record({"scope": SCOPE, "text": TEXT}))),
    "tasks": null(several(record({"scope": SCOPE, "text": TEXT, "dueDate": DAY}, {"assignedTo": null(USER)}))),
    "objectInfo": OBJECT_INFO,
    "externalReferences": null(
        several(record({"id": ID, "system": NAMED, "externalId": TEXT}, {"url": null(ADDRESS)}))
    ),
}
STATUS = word("PENDING", "CONFIRMED", "WAIT_LIST", "CANCELED", "WAIT_LIST_CANCELED", "NO_SHOW")
TAX_RATE = record({"value": SHARE})
FORM_FIELD = record({"field": NAMED, "value": ANY, "objectInfo": OBJECT_INFO}, {"source": null(TEXT)})
BOOKING_LABEL = record(
    {"id": ID, "abbreviation": TEXT, "internalName": TEXT, "externalName": TEXT, "order": INTEGER, "labelGroup": NAMED},
    dict.fromkeys(("externalDescription", "imageUrl", "color"), null(TEXT)),
)
ITEM = record(
    {
        "status": STATUS,
        "type": record(
            {},
            {
                "type": word("EVENT", "ACCOMMODATION", "MEALS", "MISC", "RENT", "CREDIT", "PAYMENT_FEE"),
                "logicalType": word("EVENT", "ACCOMMODATION", "MEALS", "MISC", "PAYMENT_FEE"),
            },
        ),
    },
    {
        "id": ID,
        "begin": null(MOMENT),
        "end": null(MOMENT),
        "text": null(TEXT),
        "priceList": NAMED,
        "priceListItemId": ID,
        "calculatedPrice": AMOUNT,
        "actualPrice": null(AMOUNT),
        "taxRate": TAX_RATE,
        "quantity": null(COUNT),
        # next
        "roomAssignment": record(
            {},
            {
                **dict.fromkeys(("roomName", "roomTypeCode", "roomTypeName"), null(TEXT)),
                **dict.fromkeys(("begin", "end"), MOMENT),
                **dict.fromkeys(("isSingleUse", "isPrepared", "isFinal"), BOOLEAN),
            },
        ),
    },
)
GUEST = record(
    {
        "eventDate": NAMED,
        "guest": record(
            {},
            {
                "profile": null(NAMED),
                "name": null(TEXT),
                "age": null(st.integers(1, 120)),
                "gender": null(word("UNKNOWN", "DIVERSE", "FEMALE", "MALE")),
            },
        ),
    },
    {
        "id": ID,
        "event": NAMED,
        "status": STATUS,
        "guestType": null(
            record({"id": ID}, {"name": TEXT, "type": word("PARTICIPANT", "FACILITATOR", "ASSISTANT", "COMPANION")})
        ),
        "priceLevel": NAMED,
        **dict.fromkeys(("remarks", "marker", "voucherCode"), null(TEXT)),
        "specialRequests": null(several(NAMED)),
        "teachingUnits": null(COUNT),
        "attendanceType": null(word("ONLINE", "ON_SITE")),
        "items": several(ITEM),
        "begin": null(MOMENT),
        "end": null(MOMENT),
        # next
        "additionalFieldValues": null(several(FORM_FIELD)),
    },
)
PAYMENT = record(
    {"amount": AMOUNT, "method": record({"code": TEXT, "name": TEXT}), "date": DAY},
    {"id": ID, "remarks": TEXT, "paymentReferenceId": null(UUID)},
)
#: Nothing of a booking is demanded there; without an id we could not say which one it is.
BOOKING = record(
    {"id": ID},
    {
        **BASE_MODEL,
        "booker": NAMED,
        "status": null(STATUS),
        **dict.fromkeys(("externalRemarks", "internalRemarks", "marker", "referenceNumbers"), null(TEXT)),
        **dict.fromkeys(("voucherCode", "externalIdentifier"), null(TEXT)),
        "paymentMethod": null(NAMED),
        "specialRequestsPriceList": null(NAMED),
        "labels": null(several(BOOKING_LABEL)),
        "guests": several(GUEST, 1),
        "numberOfInvoices": COUNT,
        "openBalance": AMOUNT,
        "payments": null(several(PAYMENT)),
        # next
        "onlinePaymentStatus": null(word("PENDING", "COMPLETED", "FAILED")),
        "additionalFieldValues": null(several(FORM_FIELD)),
    },
)
PERIOD = record({"begin": DAY, "end": DAY})
INVOICE_ITEM = record(
    {
        "number": st.integers(1, 100),
        "text": TEXT,
        "periodOfService": PERIOD,
        "grossAmount": AMOUNT,
        "netAmount": AMOUNT,
        "taxRate": TAX_RATE,
        "sources": several(NAMED),
    },
    {
        "discountAmount": null(AMOUNT),
        "eventDateName": null(TEXT),
        "guestName": null(TEXT),
        "revenueSplitItems": several(
            record(
                {},
                {
                    **dict.fromkeys(("costCenter", "bookingAccount", "costType", "invoiceText"), null(TEXT)),
                    "name": TEXT,
                    "amount": AMOUNT,
                    "taxRate": null(TAX_RATE),
                },
            )
        ),
    },
)
INVOICE = record(
    {"id": ID},
    {
        **BASE_MODEL,
        "status": word("DRAFT", "POSTED", "CANCELED"),
        "type": word("INVOICE", "CREDIT_INVOICE", "CANCELATION_INVOICE"),
        "organization": record({"code": TEXT}, {"name": TEXT}),
        "date": DAY,
        "dueDate": null(DAY),
        "periodOfService": PERIOD,
        "originalInvoice": null(record({"id": ID, "number": null(TEXT), "date": DAY})),
        "recipient": record(
            {"id": ID}, {"name": TEXT, "customerNumber": null(TEXT), "type": word("PERSON", "ORGANIZATION")}
        ),
        **dict.fromkeys(("recipientName", "billingAddressFormatted", "template"), TEXT),
        "billingAddress": record(
            {},
            {
                **STREET,
                "nameOrCompany": TEXT,
                "email": null(EMAIL),
                "country": null(record({"code": TEXT}, {"name": TEXT, "localizedName": TEXT})),
            },
        ),
        **dict.fromkeys(("number", "introductionText", "closingText"), null(TEXT)),
        "isSplitInvoice": BOOLEAN,
        **dict.fromkeys(("totalAmount", "paymentAmountAtCreation", "currentPaymentAmount"), AMOUNT),
        **dict.fromkeys(("balanceAtCreation", "currentBalance"), AMOUNT),
        "lastPaymentAt": DAY,
        "lastEmailSentAt": MOMENT,
        "items": several(INVOICE_ITEM),
        "referenceNumbers": null(several(TEXT)),
    },
)

#: What a deletion brings: the vendor's samples have only the id, as text; its specification the whole.
GONE = record({"id": ID | ID.map(str)})

#: Action, as the vendor writes it -> its payload.
PAYLOADS: dict[str, Payloads] = {
    "event.create": EVENT,
    "event.update": EVENT,
    "event.delete": EVENT | record({"id": UUID}),
    "eventDate.create": EVENT_DATE,
    "eventDate.update": EVENT_DATE,
    "eventDate.delete": EVENT_DATE | GONE,
    "facilitator.create": FACILITATOR,
    "facilitator.update": FACILITATOR,
    "facilitator.delete": FACILITATOR | GONE,
    "labelGroup.create": LABEL_GROUP,
    "labelGroup.update": LABEL_GROUP,
    "labelGroup.delete": LABEL_GROUP | GONE,
    "profile.create": PERSON | ORGANIZATION,
    "profile.update": PERSON | ORGANIZATION,
    "profile.delete": PERSON | ORGANIZATION | GONE,
    "profile.merge": PERSON | ORGANIZATION | GONE,
    "booking.create": BOOKING,
    "booking.statuschanged": BOOKING,
    "booking.delete": BOOKING | GONE,
    "invoice.post": INVOICE,
    "invoice.posted": INVOICE,
    "invoice.cancel": INVOICE,
    "invoice.canceled": INVOICE,
}
