"""A door in the shape of Maileon's REST API 1.0, for exports that can write to Maileon and to nothing else.

Comes in: a verified request, and its path below the source's own URL. Goes out: the one contact that is to be signed
up, or what Maileon would answer. The door holds no contacts, and what it does not model it refuses (404, 501): never a
201 for nothing. An address or external id stands in the path, so no path is ever part of a message.

Shapes: support.maileon.com ("Create contact", "Create contact by external ID", "HTTP status codes", "Authentication")
and the vendor's PHP client 1.25, which compares the type of an answer letter by letter. docs/sources/cmxorganize.md
says what is documented, inferred and unknown.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat
from xml.sax.saxutils import escape

from receiver import body as bodies
from receiver import errors
from receiver.body import BodyRecord
from receiver.errors import RequestRefused
from receiver.sources.base import SourceAnswer
from receiver.verification import VerifiedRequest
from rules import addresses
from rules.addresses import AddressRefused

#: Without a charset: the vendor's PHP client reads no other type.
XML_TYPE = (b"content-type", b"application/vnd.maileon.api+xml")
#: A contact is three levels deep.
MOST_LEVELS = 8

PING, CUSTOM_FIELDS = "ping", "contacts/fields/custom"
BY_EMAIL, BY_EXTERNAL_ID = "contacts/email", "contacts/externalid"
#: What the paths of Maileon's API begin with.
ROOTS = frozenset(
    (
        *("account", "blacklists", "contactfilters", "contacts", "mailingblacklists", "mailings"),
        *("marketingautomation", "media", "ping", "reports", "targetgroups", "transactions", "webhooks"),
    )
)
#: What may stand behind an address or external id there.
ACTIONS = frozenset({"unsubscribe", "unsubscription"})

#: "Permission": 1 none, 2 single opt-in, 3 confirmed, 4 double opt-in, 5 double opt-in with user tracking, 6 other.
NO_PERMISSION = 1
PERMISSIONS = frozenset(range(NO_PERMISSION, 7))
#: What the two that say something of it say of the consent to tracking.
TRACKING = {4: False, 5: True}
#: Members of a contact that only Maileon itself gives.
READ_ONLY = frozenset({"id", "anonymous", "created", "updated"})


@dataclass(frozen=True, slots=True)
class DoorPath:
    """A path of the API: what is addressed, and which one (an address, an external id).

    Of a refused request the path is kept without it: where it is tried again, the body tells who it is.
    """

    resource: str
    key: str = ""


def parse_path(event: str | None) -> DoorPath | None:
    """Return what the end of a URL addresses; None: nothing of Maileon's API. `event`: percent-decoded, once."""
    path = (event or "").removeprefix("1.0/")
    if path.partition("/")[0] not in ROOTS:
        return None
    if path in (PING, CUSTOM_FIELDS, BY_EMAIL, BY_EXTERNAL_ID):
        return DoorPath(path)
    for resource in (BY_EMAIL, BY_EXTERNAL_ID):
        key = path.removeprefix(f"{resource}/")
        # An address or an id may have a slash in it.
        if key != path and key.rpartition("/")[2] not in ACTIONS:
            return DoorPath(resource, key)
    return DoorPath("")


def hide_person(event: str) -> str:
    """Return the end of a URL of the API without the address or id in it."""
    path = parse_path(event)
    return (path.resource if path else "") or event.removeprefix("1.0/").partition("/")[0]


# -- answers


def _answer_xml(status: int, content: str) -> SourceAnswer:
    return SourceAnswer(status, f'<?xml version="1.0" encoding="UTF-8"?>{content}'.encode(), (XML_TYPE,))


def refuse(refused: RequestRefused) -> SourceAnswer:
    """Return a refusal as "HTTP status codes" shows errors: XML, whatever was sent or asked for."""
    return _answer_xml(refused.status, f"<error><message>{escape(refused.hint)}</message></error>")


def pong() -> SourceAnswer:
    """Return the answer to a ping, by which clients test their key. It has a type: the PHP client wants one."""
    return SourceAnswer(200, b"", (XML_TYPE,))


def answer_created(identity: str) -> SourceAnswer:
    """Return 201 with a number, the same for the same person: clients take it for the contact's id."""
    number = int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=6).digest())
    return _answer_xml(201, f"<id>{number}</id>")


def answer(method: str, path: DoorPath, custom_fields: Iterable[str]) -> SourceAnswer:
    """Return the answer to what is no POST. Raises NotFound, NotModelled."""
    if path.resource == PING:
        if method in ("GET", "PUT"):
            return pong()
        return _answer_xml(403, f"<error><message>The key has no right to {method}</message></error>")
    if path.resource == CUSTOM_FIELDS and method == "GET":
        listed = "".join(f"<field><name>{escape(name)}</name><type>string</type></field>" for name in custom_fields)
        return _answer_xml(200, f"<custom_fields>{listed}</custom_fields>")
    if path.resource in (BY_EMAIL, BY_EXTERNAL_ID) and method in ("GET", "PUT"):
        raise errors.NotFound(
            "unknown_contact", "The contact does not exist: nothing is held here; create it with POST"
        )
    raise refuse_resource()


def refuse_resource() -> errors.NotModelled:
    """Return the refusal of what Maileon can do and the door cannot."""
    return errors.NotModelled(
        "not_modelled",
        f"This door takes POST /{BY_EMAIL}/… and /{BY_EXTERNAL_ID}/…, and answers /{PING} and GET /{CUSTOM_FIELDS}",
    )


# -- contacts


@dataclass(slots=True)
class SentContact:
    """The body of a request."""

    email: str = ""
    external_id: str = ""
    permission: str = ""
    standard: Mapping[str, Any] = field(default_factory=dict)
    custom: Mapping[str, Any] = field(default_factory=dict)
    #: What was not read as it came.
    unread: tuple[str, ...] = ()


def read_contact(
    request: VerifiedRequest, path: DoorPath, custom_fields: Mapping[str, str], *, consent_implied: bool = False
) -> BodyRecord:
    """Return a contact as one flat record under our names. Raises NotParseable, NotModelled, Unsupported, TooLarge.

    `custom_fields`: Maileon's name of a custom field -> ours. `consent_implied`: a contact without a word about consent
    has given it.
    """
    if path.resource not in (BY_EMAIL, BY_EXTERNAL_ID):
        raise refuse_resource()
    if "\ufffd" in path.key:
        raise _bad_contact("The URL is not percent-encoded UTF-8")
    parameters = _read_parameters(request)
    sent = _read_body(request)
    _choose(parameters.pop("sync_mode", ""), "sync_mode", {1, 2})
    permission = _choose(parameters.pop("permission", "") or sent.permission, "permission", PERMISSIONS)
    doi, doiplus = _read_flag(parameters, "doi"), _read_flag(parameters, "doiplus")
    if not doi and permission in (None, NO_PERMISSION) and not consent_implied:
        raise errors.NotParseable(
            "no_consent", "Neither doi=true nor a permission from 2 on says that this person wants the newsletter"
        )
    tracking = doiplus if doi else TRACKING.get(permission or 0)
    told: list[tuple[str, Any]] = [
        ("email", _read_email(path, sent)),
        ("external_id", path.key if path.resource == BY_EXTERNAL_ID and path.key else sent.external_id),
        ("permission", permission),
        ("doi", doi),
    ]
    # A custom field that the book names for the second consent counts before doiplus, which clients always send.
    told += [(custom_fields[name], value) for name, value in sent.custom.items() if name in custom_fields]
    told += [("single_user_tracking", tracking)]
    told += [(name.lower(), value) for name, value in sent.standard.items()]
    told += [(name, value) for name, value in sent.custom.items() if name not in custom_fields]
    fields: dict[str, Any] = {}
    for name, value in (*told, *parameters.items()):
        if value is not None and value != "":
            fields.setdefault(name, value)
    cleaned = bodies.clean(fields)
    unread = sent.unread if cleaned == fields else tuple(dict.fromkeys((*sent.unread, bodies.CHARACTERS)))
    return BodyRecord(json.dumps(cleaned, ensure_ascii=False).encode(), cleaned, unread=unread)


def _bad_contact(why: str) -> errors.NotParseable:
    return errors.NotParseable("bad_contact", why)


def _read_email(path: DoorPath, sent: SentContact) -> str:
    """Return the one address that path and body name. Raises NotParseable."""
    told = path.key if path.resource == BY_EMAIL and path.key else sent.email
    if not told:
        raise _bad_contact("The email address is required: the contact is new")
    try:
        email = addresses.clean(told)
    except AddressRefused as exc:
        raise _bad_contact(f"The syntax of the email address is not correct: {exc}") from exc
    if sent.email and not addresses.same_email(sent.email, email):
        raise _bad_contact("The email address in the URL and the one in the body are not the same")
    return email


def _read_parameters(request: VerifiedRequest) -> dict[str, str]:
    parameters = dict(request.query)
    if len(parameters) < len(request.query):
        raise _bad_contact("A parameter of the URL stands twice")
    return {name: value.strip() for name, value in parameters.items()}


def _read_flag(parameters: dict[str, str], name: str) -> bool | None:
    text = parameters.pop(name, "").lower()
    if text not in ("", "true", "false"):
        raise _bad_contact(f"The parameter {name} must be true or false")
    return text == "true" if text else None


def _choose(text: str, name: str, among: Iterable[int]) -> int | None:
    if not text:
        return None
    found = next((number for number in among if text == str(number)), None)
    if found is None:
        raise _bad_contact(f"The value of {name} is none that Maileon has")
    return found


def _read_body(request: VerifiedRequest) -> SentContact:
    """Return what the body says: XML or JSON, judged by its first sign. An empty one says nothing."""
    content = bodies.unpack(request)
    if not content.strip():
        return SentContact()
    if content.lstrip(b"\xef\xbb\xbf \t\r\n\0\xff\xfe")[:1] == b"<":
        return _from_xml(parse_xml(content))
    records = bodies.json_records(bodies.json_text(request, content))
    if len(records) != 1 or records[0].unfit:
        raise _bad_contact("The body must be one contact")
    return _from_members(records[0].fields, records[0].unread)


def _from_xml(root: Element) -> SentContact:
    if root.tag != "contact":
        raise _bad_contact("The body must be a <contact>")
    members: dict[str, Any] = {}
    for each in root:
        if each.tag in members:
            raise _bad_contact("A member of the contact stands twice")
        if each.tag in ("standard_fields", "custom_fields"):
            found = [(one.findtext("name", "").strip(), one.findtext("value", "")) for one in each]
            members[each.tag] = dict(found)
        else:
            members[each.tag] = list(each) or (each.text or "").strip()
    return _from_members(members, ())


def _from_members(members: Mapping[str, Any], unread: tuple[str, ...]) -> SentContact:
    known = {"email", "external_id", "permission", "standard_fields", "custom_fields", *READ_ONLY}
    if any(value not in (None, "", [], {}) for name, value in members.items() if name not in known):
        raise errors.NotModelled(
            "not_modelled", "Of a contact this door takes email, external_id, permission, standard and custom fields"
        )
    standard, custom = (members.get(name) or {} for name in ("standard_fields", "custom_fields"))
    texts = [members.get(name) for name in ("email", "external_id", "permission")]
    if not isinstance(standard, dict) or not isinstance(custom, dict):
        raise _bad_contact("standard_fields and custom_fields must be objects")
    if not all(each is None or (isinstance(each, str | int) and not isinstance(each, bool)) for each in texts):
        raise _bad_contact("email, external_id and permission must be texts")
    email, external_id, permission = ("" if each is None else str(each).strip() for each in texts)
    return SentContact(email, external_id, permission, standard, custom, unread)


def parse_xml(body: bytes) -> Element:
    """Return the root of an XML body. Raises NotParseable: also for a document type, so there are no entities."""
    builder = TreeBuilder()
    level = 0

    def start(name: str, attributes: Mapping[str, str]) -> None:
        nonlocal level
        level += 1
        if level > MOST_LEVELS:
            raise errors.NotParseable("bad_xml", f"The body is nested more than {MOST_LEVELS} deep")
        builder.start(name, {})

    def end(name: str) -> None:
        nonlocal level
        level -= 1
        builder.end(name)

    def refuse_document_type(*_: Any) -> NoReturn:
        raise errors.NotParseable("bad_xml", "The body must have no document type")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse_document_type
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, LookupError, ValueError) as exc:  # the latter two: a charset that Python does not know
        at = f" (line {exc.lineno})" if isinstance(exc, expat.ExpatError) else ""
        raise errors.NotParseable("bad_xml", f"The body is not valid XML{at}") from exc
    return builder.close()
