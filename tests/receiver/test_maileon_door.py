import base64
import contextlib
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import errors, maileon_door
from receiver.request import RawRequest
from receiver.sources.base import SourceItem
from receiver.sources.cmxorganize import SOURCE, CmxOrganizeOptions
from receiver.verification import trusted
from tests.conftest import wait_until
from tests.receiver import fixtures
from tests.receiver.port import Port, PortAnswer

DOOR = "/in/export"
XML = "application/vnd.maileon.api+xml"
BY_EMAIL = (fixtures.FOLDER / "cmxorganize/contact.by_email.xml").read_bytes()
BY_EXTERNAL_ID = (fixtures.FOLDER / "cmxorganize/contact.by_external_id.xml").read_bytes()
#: As the vendor's PHP client writes it: what is not given stands there empty.
DOI = "sync_mode=1&src=&subscription_page=&doi=true&doiplus=true"
EVA = "/contacts/email/eva%2Bkurs%40example.org"


def key(text: str = "cmx-pass", *, raw: bool = False) -> dict[str, str]:
    return {"Authorization": f"Basic {text if raw else base64.b64encode(text.encode()).decode()}"}


def ask(port: Port, path: str, body: bytes = b"", method: str = "POST", **headers: str) -> PortAnswer:
    """Ask as the vendor's PHP client does: the same type on each request, also without a body."""
    return port.post(DOOR + path, body, {"Content-type": XML, "Accept": XML, **key(), **headers}, method)


def enter(
    path: str, body: bytes = b"", query: str = "doi=true", options: CmxOrganizeOptions | None = None
) -> SourceItem:
    """Return the item of a contact that was posted; `path`: decoded, as the server gives it."""
    request = trusted(RawRequest(body, (), query.encode()))
    (item,) = SOURCE.unpack(request, options or CmxOrganizeOptions(), path).items
    return item


def read(item: SourceItem) -> Any:
    return SOURCE.read("newsletter.signup", item.body)


def xml(inner: str) -> bytes:
    return f"<contact>{inner}</contact>".encode()


def message(answer: PortAnswer) -> str:
    """Return what an answer in Maileon's shape says went wrong."""
    assert answer.headers["content-type"] == XML
    root = maileon_door.parse_xml(answer.body)
    assert root.tag == "error"
    return root.findtext("message", "")


def test_contact_by_email(either: Port) -> None:
    """What the vendor's PHP client posts is a sign-up; the answer has exactly the type that it reads, and a number."""
    answer = ask(either, f"{EVA}?{DOI}&permission=1", BY_EMAIL)
    assert (answer.status, answer.headers["content-type"]) == (201, XML)
    root = maileon_door.parse_xml(answer.body)
    assert root.tag == "id"
    assert int(root.text or "") > 0
    kept = ids_in(either)
    assert ask(either, f"{EVA}?{DOI}&permission=1", BY_EMAIL).body == answer.body
    assert ids_in(either) == kept


def test_fields() -> None:
    """All eight fields are read; empty parameters say nothing, and what the table does not know keeps its name."""
    item = enter("contacts/email/eva+kurs@example.org", BY_EMAIL, f"{DOI}&permission=1&doimailing=")
    assert read(item) == {
        "email": "eva+kurs@example.org",
        "salutation": "Frau",
        "title": "Dr.",
        "profession": "Ärztin",
        "last_name": "Muster & Söhne",
        "first_name": "Eva",
        "purchase_id": "cmx0123456789abc",
        "single_user_tracking": True,
        "kursort": "Köln",
        "permission": 1,
        "doi": True,
    }
    assert read(SOURCE.unpack(trusted(RawRequest(item.body), kept=True), CmxOrganizeOptions(), None).items[0]) == read(
        item
    )
    assert (item.type, item.order_key) == ("newsletter.signup", "email:eva+kurs@example.org")
    assert item.subject == "purchase/cmx0123456789abc"


def test_parameters() -> None:
    """Parameters that say something are data, too."""
    data = read(enter("contacts/email/kim@example.org", query="doi=true&src=cmx+Organize&doimailing=doi-kurse"))
    assert (data["src"], data["doimailing"]) == ("cmx Organize", "doi-kurse")


def test_contact_by_external_id() -> None:
    """By external id, in which a slash may stand, the address comes in the body."""
    item = enter("contacts/externalid/2026/4711", BY_EXTERNAL_ID, f"permission=5&{DOI}&doimailing=")
    assert (read(item)["email"], read(item)["external_id"]) == ("ada@example.org", "2026/4711")
    assert item.identities == ("email:ada@example.org", "cmxorganize:external:2026/4711")


def test_json() -> None:
    """JSON is read as XML is, as the vendor's n8n node sends it; `{}` and no body say nothing."""
    sent = {
        "email": "eva@example.org",
        "standard_fields": {"LASTNAME": "Muster"},
        "custom_fields": {"cmx_einkauf_id": 8},
    }
    data = read(enter("contacts/email/eva@example.org", json.dumps(sent).encode()))
    assert (data["last_name"], data["purchase_id"]) == ("Muster", "8")
    for empty in (b"{}", b"", b"  "):
        assert read(enter("contacts/email/eva@example.org", empty)) == {"email": "eva@example.org", "doi": True}


@pytest.mark.parametrize("version", ["", "1.0/"])
def test_version_in_the_url(version: str) -> None:
    """Whoever appends the version to the address is understood."""
    assert enter(f"{version}contacts/email/eva@example.org").order_key == "email:eva@example.org"


@pytest.mark.parametrize(
    ("path", "email"),
    [
        ("eva+kurs@example.org", "eva+kurs@example.org"),
        ("eva%2Bkurs%40example.org", "eva+kurs@example.org"),
        ("EVA@Example.ORG", "EVA@example.org"),
        ("kim@b%C3%BCcher.example", "kim@xn--bcher-kva.example"),
        ("k%C3%B6nig@example.org", "könig@example.org"),
        ("eva%2Fkurs@example.org", "eva/kurs@example.org"),
        ("eva/kurs@example.org", "eva/kurs@example.org"),
        ("a%25b@example.org", "a%b@example.org"),
        ("eva@example.org/", "eva@example.org"),
    ],
)
def test_spelling_of_the_path(shared: Port, path: str, email: str) -> None:
    """However an address is encoded in the path, it is that person, decoded once."""
    before = ids_in(shared)
    assert ask(shared, f"/contacts/email/{path}?doi=true&src={len(before)}").status == 201
    (new,) = ids_in(shared) - before
    assert shared.kept(new).data["email"] == email


def ids_in(port: Port) -> set[str]:
    return {name.rpartition(":")[2] for name, _ in dump(port) if ":e:" in name}


def dump(port: Port) -> list[tuple[str, bytes]]:
    """Return all that the store holds: names and serialised values, in which texts stand as they are."""

    async def everything(room: Any) -> list[tuple[str, bytes]]:
        await room.store.config_set("rdbcompression", "no")
        return [(name.decode(), await room.store.dump(name) or b"") async for name in room.store.scan_iter("*")]

    found: list[tuple[str, bytes]] = port.ask(everything)
    return found


@pytest.mark.parametrize(
    ("query", "tracking"),
    [
        ("doi=true&doiplus=true", True),
        ("doi=true&doiplus=false", False),
        ("doi=true", None),
        ("doi=true&doiplus=", None),
        ("doi=TRUE&doiplus=True", True),
        ("doi=true&doiplus=false&permission=5", False),
        ("doi=false&doiplus=true&permission=2", None),
        ("permission=3", None),
        ("permission=4&doiplus=true", False),
        ("permission=5", True),
        ("permission=6", None),
    ],
)
def test_consent(query: str, tracking: bool | None) -> None:
    """doiplus counts with doi alone, as there; without doi the permission says what was consented to."""
    assert read(enter("contacts/email/eva@example.org", query=query)).get("single_user_tracking") is tracking


@pytest.mark.parametrize("query", ["", "doi=false", "doi=&permission=", "permission=1&doi=false", "doiplus=true"])
def test_no_consent(query: str) -> None:
    """Who is sent without a word of consent is not signed up, unless the book says that cmx sends no others."""
    with pytest.raises(errors.NotParseable, match="no_consent"):
        enter("contacts/email/eva@example.org", query=query)
    implied = CmxOrganizeOptions(consent_implied=True)
    assert enter("contacts/email/eva@example.org", query=query, options=implied).type == "newsletter.signup"


def test_custom_field_with_consent() -> None:
    """Where the book names a custom field for the second consent, it counts before doiplus; another one never does."""
    body = xml("<custom_fields><field><name>Einzelnutzertracking</name><value>ja</value></field></custom_fields>")
    named = CmxOrganizeOptions(custom_fields={"Einzelnutzertracking": "single_user_tracking"})
    query = "doi=true&doiplus=false"
    assert read(enter("contacts/email/eva@example.org", body, query, named))["single_user_tracking"] is True
    assert read(enter("contacts/email/eva@example.org", body, query))["single_user_tracking"] is False


@pytest.mark.parametrize("name", ["email", "external_id", "permission", "doi", "Last Name", ""])
def test_fixed_fields(name: str) -> None:
    """A custom field is none of those that say who it is and what was asked for."""
    with pytest.raises(ValueError, match="custom_fields"):
        CmxOrganizeOptions(custom_fields={"x": name})


def test_key(shared: Port) -> None:
    """The key is read in base64 and as it is, and both keys while it changes."""
    for headers in (key(), key(raw=True), key("old"), key("old", raw=True)):
        for method in ("GET", "POST", "PUT"):
            answer = ask(shared, "/ping", b"foobar" if method == "POST" else b"", method, **headers)
            assert (answer.status, answer.headers["content-type"], answer.body) == (200, XML, b"")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "sent", ["Basic wrong", "Basic", "Bearer cmx-pass", "cmx-pass", "Basic Y214LXBhc3M6", "Basic ="]
)
def test_wrong_key(shared: Port, method: str, sent: str) -> None:
    """Another key, another scheme, or a key with a colon behind it are 401, in Maileon's shape."""
    answer = ask(shared, f"{EVA}?{DOI}", BY_EMAIL, method, Authorization=sent)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Basic realm="relais"')
    assert "key" in message(answer) or "Basic" in message(answer)


def test_no_key(shared: Port) -> None:
    """No key at all is 401, too."""
    answer = shared.post(f"{DOOR}/ping", b"", {})
    assert answer.status == 401
    assert message(answer)


def test_custom_fields_are_listed(shared: Port) -> None:
    """An export that asks which custom fields exist is told those that the book knows."""
    answer = ask(shared, "/contacts/fields/custom", method="GET")
    assert (answer.status, answer.headers["content-type"]) == (200, XML)
    listed = maileon_door.parse_xml(answer.body)
    assert [(each.findtext("name"), each.findtext("type")) for each in listed] == [
        ("berufsbezeichnung", "string"),
        ("cmx_einkauf_id", "string"),
    ]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", "/ping", 403),
        ("GET", EVA, 404),
        ("PUT", EVA, 404),
        ("PUT", "/contacts/externalid/4711", 404),
        ("DELETE", EVA, 501),
        ("DELETE", f"{EVA}/unsubscribe", 501),
        ("POST", f"{EVA}/unsubscription?doi=true", 501),
        ("POST", "/contacts?permission=1", 501),
        ("POST", "/contacts/fields/custom", 501),
        ("POST", "/contacts/fields/custom/neu?type=string", 501),
        ("GET", "/contacts/count", 501),
        ("POST", "/transactions", 501),
        ("GET", "/account/info", 501),
        ("GET", "/webhooks", 501),
    ],
)
def test_not_modelled(shared: Port, method: str, path: str, status: int) -> None:
    """What the door does not do it refuses, and never answers as done: it holds no contacts."""
    before = ids_in(shared)
    answer = ask(shared, path, BY_EMAIL if method != "GET" else b"", method)
    assert answer.status == status
    assert message(answer)
    assert ids_in(shared) == before


@pytest.mark.parametrize("path", ["/nothing", "/1.0", "/contactsx/email/eva@example.org", "/1.0/1.0/ping"])
def test_other_paths(shared: Port, path: str) -> None:
    """A path that is not of Maileon's API is an unknown event, as ever."""
    answer = ask(shared, path)
    assert (answer.status, answer.json["error"]) == (404, "unknown_event")


TWICE = "<email>eva@example.org</email><email>eva@example.org</email>"
BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><contact><email>&b;</email></contact>'
OUTSIDE = '<!DOCTYPE contact [<!ENTITY x SYSTEM "file:///etc/passwd">]><contact><email>&x;</email></contact>'

BAD: list[tuple[str, str, bytes, int, str]] = [
    ("eva", "doi=true", b"", 400, "bad_contact"),
    ("eva@example.org", "doi=yes", b"", 400, "bad_contact"),
    ("eva@example.org", "doi=true&doi=false", b"", 400, "bad_contact"),
    ("eva@example.org", "doi=true&permission=7", b"", 400, "bad_contact"),
    ("eva@example.org", "doi=true&permission=٢", b"", 400, "bad_contact"),
    ("eva@example.org", "doi=true&sync_mode=3", b"", 400, "bad_contact"),
    ("m\ufffdller@example.org", "doi=true", b"", 400, "bad_contact"),
    ("eva@@example.org", "doi=true", b"", 400, "bad_contact"),
    ("eva@example.org\0", "doi=true", b"", 400, "bad_contact"),
    ("eva@example.org", "doi=true", xml("<email>otto@example.org</email>"), 400, "bad_contact"),
    ("eva@example.org", "doi=true", xml(TWICE), 400, "bad_contact"),
    ("eva@example.org", "doi=true", b"<contacts/>", 400, "bad_contact"),
    ("eva@example.org", "doi=true", b"<contact>", 400, "bad_xml"),
    ("eva@example.org", "doi=true", b"<contact/>x", 400, "bad_xml"),
    ("eva@example.org", "doi=true", b"<contact>\xfc</contact>", 400, "bad_xml"),
    ("eva@example.org", "doi=true", b"<?xml version='1.0' encoding='none-such'?><contact/>", 400, "bad_xml"),
    ("eva@example.org", "doi=true", xml("&unknown;"), 400, "bad_xml"),
    ("eva@example.org", "doi=true", BOMB.encode(), 400, "bad_xml"),
    ("eva@example.org", "doi=true", OUTSIDE.encode(), 400, "bad_xml"),
    ("eva@example.org", "doi=true", b"<!DOCTYPE contact><contact/>", 400, "bad_xml"),
    ("eva@example.org", "doi=true", b"<a>" * 20_000, 400, "bad_xml"),
    ("eva@example.org", "doi=true", xml("<preferences><preference/></preferences>"), 501, "not_modelled"),
    ("eva@example.org", "doi=true", b'{"preferences": [{"name": "a"}]}', 501, "not_modelled"),
    ("eva@example.org", "doi=true", b'{"standard_fields": []  , "custom_fields": [1]}', 400, "bad_contact"),
    ("eva@example.org", "doi=true", b'{"email": {"a": 1}}', 400, "bad_contact"),
    ("eva@example.org", "doi=true", b"[{}, {}]", 400, "bad_contact"),
    ("eva@example.org", "doi=true", b'{"email": ', 400, "bad_json"),
    ("eva@example.org", "doi=true", b"email=eva", 415, "unsupported_type"),
]


@pytest.mark.parametrize(("key", "query", "body", "status", "code"), BAD)
def test_bad_contact(key: str, query: str, body: bytes, status: int, code: str) -> None:
    """What is no contact is refused with a code of its own, and the message repeats no value of it."""
    with pytest.raises(errors.RequestRefused) as caught:
        enter(f"contacts/email/{key}", body, query)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert "eva" not in caught.value.hint
    assert "otto" not in caught.value.hint


def test_refused_request_is_tried_again() -> None:
    """A refused contact, kept without path and parameters, is read by its body once the book says what they lack."""
    folder = maileon_door.hide_person("contacts/email/eva+kurs@example.org")
    with pytest.raises(errors.NotParseable, match="no_consent"):
        enter(folder, BY_EMAIL, "")
    again = read(enter(folder, BY_EMAIL, "", CmxOrganizeOptions(consent_implied=True)))
    assert (again["email"], again["last_name"]) == ("eva+kurs@example.org", "Muster & Söhne")
    assert "single_user_tracking" not in again
    folder = maileon_door.hide_person("contacts/externalid/2026/4711")
    assert read(enter(folder, BY_EXTERNAL_ID))["external_id"] == "2026/4711"


def test_external_id_without_an_address() -> None:
    """By external id nobody is signed up without an address."""
    with pytest.raises(errors.NotParseable, match="bad_contact"):
        enter("contacts/externalid/4711", xml("<external_id>4711</external_id>"))


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "windows-1252"])
def test_charset_of_xml(charset: str) -> None:
    """XML says itself in which charset it is."""
    told = charset.removesuffix("-sig")
    text = "<standard_fields><field><name>LASTNAME</name><value>Müller</value></field></standard_fields>"
    body = f'<?xml version="1.0" encoding="{told}"?><contact>{text}</contact>'.encode(charset)
    assert read(enter("contacts/email/eva@example.org", body))["last_name"] == "Müller"


@given(st.binary() | st.text().map(lambda text: f"<contact>{text}</contact>".encode()))
def test_any_bytes(body: bytes) -> None:
    """Whatever the bytes are, they are XML or refused."""
    with contextlib.suppress(errors.NotParseable):
        assert maileon_door.parse_xml(body) is not None


@given(st.text(max_size=60), st.sampled_from(["", "contacts/email/", "contacts/externalid/", "1.0/contacts/"]))
def test_any_path(end: str, start: str) -> None:
    """What is kept of a path has nothing of what stands behind Maileon's own words."""
    hidden = maileon_door.hide_person(f"{start}secret{end}")
    assert "secret" not in hidden or hidden == f"secret{end}".partition("/")[0]


#: Long enough that a cut before the @ would not hide it.
PERSON = "geheimnisvoll-" * 4 + "x"


def test_too_large(shared: Port) -> None:
    """A body over the cap is 413 in Maileon's shape, and its path is not kept either."""
    answer = ask(shared, f"/contacts/email/{PERSON}@example.org?doi=true", b"x" * 70_000)
    assert answer.status == 413
    assert "RELAIS_MAX_BODY" in message(answer)


def test_nothing_of_a_person_is_written_down(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    """The address in the path is in no log, no key, no refused request; of a sign-up only its event's record has it."""
    caplog.set_level(logging.DEBUG)
    path = f"/contacts/email/{PERSON}%40example.org"
    for headers, method, tail, status in (
        ({}, "POST", "?doi=true", 201),
        ({}, "POST", "", 400),
        ({}, "POST", "?doi=maybe", 400),
        ({}, "GET", "", 404),
        ({}, "DELETE", "/unsubscribe", 501),
        ({"Authorization": "Basic wrong"}, "POST", "?doi=true", 401),
        ({"Content-Length": "99999999"}, "GET", "", 404),
    ):
        assert ask(port, path + tail, b"", method, **headers).status == status
    for other in ("/in/exprot", "/in/at", "/in"):
        assert port.post(f"{other}{path}", b"", key()).status in (401, 404)
    assert port.post(f"/in/exprot/contacts/externalid/{PERSON}", b"", key()).status == 404
    assert ask(port, f"/contacts/externalid/{PERSON}?doi=true").status == 400
    wait_until(lambda: len(port.refused()) == 11, "every refused request is kept")
    held = dump(port)
    assert any(PERSON.encode() in value for name, value in held if ":e:" in name)
    assert any(b"contacts/email" in value for name, value in held if name.endswith(":refused"))
    for name, value in held:
        assert "geheimnisvoll" not in name
        assert b"geheimnisvoll" not in value or ":e:" in name
    # pytest listens to the access log, too, which is off (test_server.py).
    told = [each.getMessage() for each in caplog.records if each.name != "uvicorn.access"]
    assert any("receiver.refused" in each for each in told)
    assert not any("geheimnisvoll" in each for each in told)


def test_forgotten_once_forwarded(shared: Port) -> None:
    """Nothing of a sign-up is kept beyond its deliveries, nor of one that no rule wanted."""
    source = shared.book.entry("export").source
    assert (source.retain, source.retain_unmatched) == (0, 0)
