import base64
import contextlib
import hashlib
import hmac as stdlib
import inspect
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from receiver import errors, verification
from receiver.request import RawRequest
from receiver.verification import (
    BasicCheck,
    BasicKeyCheck,
    Check,
    HeaderCheck,
    HmacCheck,
    IpCheck,
    Query,
    StandardWebhooksCheck,
)
from rules.errors import SecretMissing
from rules.verify import Verify

NOW = 1_795_000_000.0
BODY = b'{"email": "eva@example.org"}'
KEY = b"an invented key for tests"

HEADER = HeaderCheck("X-Relais-Token", (b"old", b"new"))
QUERY = Query("token", (b"old", b"n\xc3\xa4w"))
BASIC = BasicCheck(b"relais", (b"pass:word", b"next"))
BASIC_KEY = BasicKeyCheck((b"pass:word", b"next"))
HMAC = HmacCheck(("X-Signature",), (b"other", KEY), prefix="sha256=")
TIMED = HmacCheck(
    ("X-Signature",),
    (KEY,),
    "sha512",
    "base64",
    signed="{timestamp}.{body}",
    timestamp_headers=("X-Timestamp",),
    tolerance=300,
)
STANDARD = StandardWebhooksCheck((b"other", KEY))
IP = IpCheck((ip_network("192.0.2.0/24"),))
PROXIED = IpCheck((ip_network("192.0.2.0/24"),), (ip_network("10.0.0.0/8"), ip_network("::1/128")))

ALL: Mapping[str, Check] = {
    "header": HEADER,
    "query": QUERY,
    "basic": BASIC,
    "basic_key": BASIC_KEY,
    "hmac": HMAC,
    "timed": TIMED,
    "standard": STANDARD,
}


def request(
    headers: Mapping[str, str | bytes] | None = None, query: str = "", body: bytes = BODY, client: str = "192.0.2.7"
) -> RawRequest:
    pairs = [(k.lower().encode(), v if isinstance(v, bytes) else v.encode()) for k, v in (headers or {}).items()]
    return RawRequest(body, pairs, query.encode(), client)


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


def digest(key: bytes, body: bytes = BODY) -> str:
    return stdlib.new(key, body, hashlib.sha256).hexdigest()


def standard_digest(key: bytes) -> str:
    return base64.b64encode(stdlib.digest(key, b"msg_1.%d." % NOW + BODY, "sha256")).decode()


def standard(signature: str) -> dict[str, str | bytes]:
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(NOW)), "webhook-signature": signature}


def refused(check: Check, given: RawRequest, now: float = NOW) -> str:
    with pytest.raises(errors.RequestRefused) as caught:
        verification.verify(given, [check], now)
    assert caught.value.status in (401, 403)
    return caught.value.code


@pytest.mark.parametrize("name", ALL)
def test_what_the_sender_signs_is_verified(name: str) -> None:
    """A request signed with the first secret is the source's; a body changed on the way is not, where it is signed."""
    check = ALL[name]
    signed = verification.sign([check], BODY, NOW, "msg_1")
    query = "&".join(f"{k}={v}" for k, v in signed.query.items())
    verified = verification.verify(request(signed.headers, query), [check], NOW)
    assert verified.sender_id == ("msg_1" if name == "standard" else None)
    if name in ("hmac", "timed", "standard"):
        assert refused(check, request(signed.headers, query, BODY + b" ")) == "wrong_signature"


@pytest.mark.parametrize("name", ALL)
def test_nothing_given(name: str) -> None:
    """A request without any proof says what is missing."""
    assert refused(ALL[name], request()) in ("missing_credentials", "missing_signature")


def test_second_secret() -> None:
    """While a secret rotates both are valid."""
    verification.verify(request({"X-Relais-Token": "new"}), [HEADER], NOW)
    verification.verify(request(query="token=n%C3%A4w"), [QUERY], NOW)
    verification.verify(request({"Authorization": "Basic " + base64.b64encode(b"relais:next").decode()}), [BASIC], NOW)
    digest = stdlib.new(KEY, BODY, hashlib.sha256).hexdigest()
    verification.verify(request({"X-Signature": f"sha256={digest.upper()}"}), [HMAC], NOW)


def test_published_vector() -> None:
    """HMAC-SHA256 is the one of RFC 4231, test case 2."""
    digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    body = b"what do ya want for nothing?"
    verification.verify(request({"X-S": digest}, body=body), [HmacCheck(("X-S",), (b"Jefe",))], NOW)


def test_standard_webhooks_by_hand() -> None:
    """Id, timestamp and body, parted by dots, signed with the decoded key; unknown versions are passed over."""
    content = b"msg_1.%d." % NOW + BODY
    right = base64.b64encode(stdlib.digest(KEY, content, "sha256")).decode()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(NOW)),
        "webhook-signature": f"v1a,xx v1,{base64.b64encode(b'wrong').decode()} v1,{right}",
    }
    assert verification.verify(request(headers), [STANDARD], NOW).sender_id == "msg_1"


HOSTILE: list[tuple[str, dict[str, str | bytes], str]] = [
    ("header", {"X-Relais-Token": ""}, "wrong_credentials"),
    ("header", {"X-Relais-Token": b"\xff\xfe"}, "wrong_credentials"),
    ("header", {"X-Relais-Token": "new "}, "wrong_credentials"),
    ("basic", {"Authorization": ""}, "malformed_credentials"),
    ("basic", {"Authorization": "Basic"}, "malformed_credentials"),
    ("basic", {"Authorization": "Bearer abc"}, "malformed_credentials"),
    ("basic", {"Authorization": "Basic ???"}, "malformed_credentials"),
    ("basic", {"Authorization": "Basic YWJj"}, "malformed_credentials"),
    ("basic", {"Authorization": b"Basic \xff\xff"}, "malformed_credentials"),
    ("basic", {"Authorization": "Basic YQ"}, "malformed_credentials"),
    ("basic", {"Authorization": "Basic Og=="}, "wrong_credentials"),
    ("basic", {"Authorization": "Basic " + base64.b64encode(b"relais:wrong").decode()}, "wrong_credentials"),
    ("basic", {"Authorization": "Basic " + base64.b64encode(b"other:next").decode()}, "wrong_credentials"),
    ("basic", {"Authorization": "Basic " + base64.b64encode(b"\xff:\xfe").decode()}, "wrong_credentials"),
    ("hmac", {"X-Signature": ""}, "malformed_signature"),
    ("hmac", {"X-Signature": "abc"}, "malformed_signature"),
    ("hmac", {"X-Signature": "sha256="}, "wrong_signature"),
    ("hmac", {"X-Signature": "sha256=abc"}, "malformed_signature"),
    ("hmac", {"X-Signature": "sha256=zz"}, "malformed_signature"),
    ("hmac", {"X-Signature": b"sha256=\xff\xff"}, "malformed_signature"),
    ("hmac", {"X-Signature": "sha256=" + "00" * 32}, "wrong_signature"),
    ("hmac", {"X-Signature": "sha256=" + "00" * 4000}, "wrong_signature"),
    ("timed", {"X-Signature": "===="}, "malformed_signature"),
    ("timed", {"X-Signature": "YWJj"}, "wrong_signature"),
    ("timed", {"X-Signature": "YWJj", "X-Timestamp": "soon"}, "wrong_signature"),
    ("standard", {"webhook-id": ""}, "missing_signature"),
    ("standard", {"webhook-id": "a"}, "missing_signature"),
    ("standard", {"webhook-id": "a", "webhook-signature": ""}, "malformed_signature"),
    ("standard", {"webhook-id": "a", "webhook-signature": "v1"}, "malformed_signature"),
    ("standard", {"webhook-id": "a", "webhook-signature": "v1,?"}, "malformed_signature"),
    ("standard", {"webhook-id": "a", "webhook-signature": "v1,"}, "wrong_signature"),
    ("standard", {"webhook-id": "a", "webhook-signature": "v2,YWJj"}, "malformed_signature"),
    ("standard", {"webhook-id": b"\xff", "webhook-signature": b"\xff,\xff v1,YWJj"}, "wrong_signature"),
]


#: Kind of check, headers, query, address: what a sender gives that is not, or not quite, what was agreed.
NOT_AGREED: list[tuple[str, dict[str, str | bytes], str, str]] = [
    ("header", {"X-Relais-Token": "wrong"}, "", "wrong_credentials"),
    ("header", {"X-Relais-Token": "ne"}, "", "wrong_credentials"),
    ("header", {"X-Relais-Token": "newer"}, "", "wrong_credentials"),
    ("header", {"X-Relais-Token": "NEW"}, "", "wrong_credentials"),
    ("header", {"X-Other": "new"}, "token=new", "missing_credentials"),
    ("query", {}, "token=wrong", "wrong_credentials"),
    ("query", {}, "token=", "wrong_credentials"),
    ("query", {}, "token", "wrong_credentials"),
    ("query", {}, "token=ol", "wrong_credentials"),
    ("query", {}, "token=older", "wrong_credentials"),
    ("query", {}, "token=OLD", "wrong_credentials"),
    ("query", {}, "token=n%C3%A5w", "wrong_credentials"),
    ("query", {}, "token=%00", "wrong_credentials"),
    ("query", {"token": "old"}, "other=old", "missing_credentials"),
    ("query", {}, "Token=old", "missing_credentials"),
    ("basic", {"Authorization": basic("relais:")}, "", "wrong_credentials"),
    ("basic", {"Authorization": basic(":next")}, "", "wrong_credentials"),
    ("basic", {"Authorization": basic("relais:nex")}, "", "wrong_credentials"),
    ("basic", {"Authorization": basic("relais:pass")}, "", "wrong_credentials"),
    ("basic", {"Authorization": basic("other:pass:word")}, "", "wrong_credentials"),
    ("hmac", {"X-Signature": "sha256=" + digest(b"a wrong key")}, "", "wrong_signature"),
    ("hmac", {"X-Signature": "sha256=" + digest(KEY)[:32]}, "", "wrong_signature"),
    ("hmac", {"X-Signature": "sha256=" + digest(KEY, BODY + b" ")}, "", "wrong_signature"),
    ("hmac", {"X-Signature": "sha1=" + digest(KEY)}, "", "malformed_signature"),
    ("hmac", {"X-Other": "sha256=" + digest(KEY)}, "", "missing_signature"),
    ("standard", standard("v1," + standard_digest(b"a wrong key")), "", "wrong_signature"),
    ("basic_key", {"Authorization": basic("pass:word:")}, "", "wrong_credentials"),
    ("basic_key", {"Authorization": "Basic"}, "", "wrong_credentials"),
    ("basic_key", {"Authorization": "Bearer next"}, "", "malformed_credentials"),
    ("standard", standard("v2," + standard_digest(KEY)), "", "malformed_signature"),
    ("standard", standard(f"v1,YWJj v2,{standard_digest(KEY)}"), "", "wrong_signature"),
    ("standard", standard("v1,YWJj v1,YWJj"), "", "wrong_signature"),
    ("standard", standard(" ".join(["v1,YWJj"] * 16 + ["v1," + standard_digest(KEY)])), "", "wrong_signature"),
    ("standard", {**standard("v1," + standard_digest(KEY)), "webhook-id": "msg_2"}, "", "wrong_signature"),
    ("standard", {**standard("v1," + standard_digest(KEY)), "webhook-timestamp": "1"}, "", "wrong_signature"),
]


@pytest.mark.parametrize(("name", "headers", "query", "code"), NOT_AGREED)
def test_not_agreed(name: str, headers: dict[str, str | bytes], query: str, code: str) -> None:
    """Whatever is not exactly one of the secrets agreed upon is refused, by each kind of check."""
    assert refused(ALL[name], request(headers, query)) == code


AGREED: list[tuple[str, dict[str, str | bytes], str]] = [
    ("header", {"X-Relais-Token": "old"}, ""),
    ("header", {"X-Relais-Token": "new"}, ""),
    ("query", {}, "token=old"),
    ("query", {}, "a=1&token=n%C3%A4w"),
    ("basic", {"Authorization": basic("relais:pass:word")}, ""),
    ("basic", {"Authorization": "BASIC " + basic("relais:next").partition(" ")[2]}, ""),
    ("basic_key", {"Authorization": basic("next")}, ""),
    ("basic_key", {"Authorization": "basic  pass:word "}, ""),
    ("hmac", {"X-Signature": "sha256=" + digest(b"other")}, ""),
    ("hmac", {"X-Signature": "sha256=" + digest(KEY)}, ""),
    ("standard", standard("v1," + standard_digest(b"other")), ""),
    ("standard", standard("v1," + standard_digest(KEY)), ""),
    ("standard", standard(f"v1,YWJj v1,{standard_digest(KEY)}"), ""),
    ("standard", standard(f"v1,{standard_digest(KEY)} v1,YWJj"), ""),
    ("standard", standard(" ".join(["v1,YWJj"] * 15 + ["v1," + standard_digest(KEY)])), ""),
]


@pytest.mark.parametrize(("name", "headers", "query"), AGREED)
def test_agreed(name: str, headers: dict[str, str | bytes], query: str) -> None:
    """Each of the secrets agreed upon is taken, the first as the second; so is each of several signatures."""
    assert verification.verify(request(headers, query), [ALL[name]], NOW).raw.body == BODY


def test_never_stored() -> None:
    """Each check names the headers and parameters that prove a sender, in lower case: they are never stored."""
    named = {**ALL, "ip": IP}
    assert {name: [*check.secret_headers, *check.secret_parameters] for name, check in named.items()} == {
        "header": ["x-relais-token"],
        "query": ["token"],
        "basic": ["authorization"],
        "basic_key": ["authorization"],
        "hmac": ["x-signature"],
        "timed": ["x-signature"],
        "standard": ["webhook-signature"],
        "ip": [],
    }
    assert [name for name, check in named.items() if check.secret_parameters] == ["query"]


@pytest.mark.parametrize(("name", "headers", "code"), HOSTILE)
def test_malformed_proofs(name: str, headers: dict[str, str | bytes], code: str) -> None:
    """Each malformed header meets our own refusal with its code."""
    assert refused(ALL[name], request(headers)) == code


@pytest.mark.parametrize(
    ("timestamp", "code"),
    [
        ("", "malformed_timestamp"),
        ("soon", "malformed_timestamp"),
        ("-5", "malformed_timestamp"),
        ("1_795_000_000", "malformed_timestamp"),
        ("1795000000.0", "malformed_timestamp"),
        ("9" * 17, "malformed_timestamp"),
        ("9" * 5000, "malformed_timestamp"),
        ("0", "stale_timestamp"),
        (str(int(NOW) - 301), "stale_timestamp"),
        (str(int(NOW) + 301), "stale_timestamp"),
        (str((int(NOW) - 301) * 1000), "stale_timestamp"),
    ],
)
def test_replayed(timestamp: str, code: str) -> None:
    """A signed time that is none, or too far from our clock, is refused although the signature is right."""
    digest = stdlib.digest(KEY, timestamp.encode() + b"." + BODY, "sha512")
    headers = {"X-Signature": base64.b64encode(digest).decode(), "X-Timestamp": timestamp}
    assert refused(TIMED, request(headers)) == code


@pytest.mark.parametrize("timestamp", [str(int(NOW) - 299), str(int(NOW) + 299), str(int(NOW) * 1000)])
def test_in_time(timestamp: str) -> None:
    """Clocks may differ by the tolerance; milliseconds are read too."""
    digest = stdlib.digest(KEY, timestamp.encode() + b"." + BODY, "sha512")
    headers = {"X-Signature": base64.b64encode(digest).decode(), "X-Timestamp": timestamp}
    verification.verify(request(headers), [TIMED], NOW)


def test_missing_timestamp() -> None:
    """Where a time is signed it must be there, whatever the signature."""
    digest = stdlib.digest(KEY, b"." + BODY, "sha512")
    assert refused(TIMED, request({"X-Signature": base64.b64encode(digest).decode()})) == "missing_timestamp"


def test_header_twice() -> None:
    """Of two equal headers nobody knows which one counts."""
    twice = RawRequest(BODY, ((b"x-relais-token", b"new"), (b"x-relais-token", b"old")))
    assert refused(HEADER, twice) == "ambiguous_header"
    assert refused(QUERY, request(query="token=old&token=new")) == "ambiguous_parameter"


@pytest.mark.parametrize(
    ("client", "forwarded", "ok"),
    [
        ("192.0.2.7", None, True),
        ("::ffff:192.0.2.7", None, True),
        ("198.51.100.1", None, False),
        ("198.51.100.1", "192.0.2.7", False),  # the proxy is not trusted, so its word does not count
        ("10.1.1.1", "192.0.2.7", True),
        ("::1", "192.0.2.7", True),
        ("10.1.1.1", "192.0.2.7, 10.2.2.2", True),
        ("10.1.1.1", "192.0.2.7, 198.51.100.1", False),  # the first hop is what the stranger wrote himself
        ("10.1.1.1", "198.51.100.1, 192.0.2.7", True),
        ("10.1.1.1", None, False),
        ("10.1.1.1", "", False),
        ("10.1.1.1", "not an address", False),
        ("10.1.1.1", "192.0.2.7:80", True),
        ("", None, False),
    ],
)
def test_addresses(client: str, forwarded: str | None, ok: bool) -> None:
    """An address counts if it is on the list; a proxy's word for it counts if the proxy is trusted."""
    headers: dict[str, str | bytes] = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    given = request(headers, client=client)
    if ok:
        verification.verify(given, [PROXIED], NOW)
    else:
        assert refused(PROXIED, given) in ("address_not_allowed", "malformed_forwarded")


@pytest.mark.parametrize(
    ("client", "ok"),
    [
        ("192.0.2.0", True),
        ("192.0.2.255", True),
        ("192.0.3.0", False),
        ("2001:db8::7", True),
        ("2001:db9::7", False),
        ("::192.0.2.7", False),
        ("192.0.2", False),
        ("192.0.2.7:80", False),
    ],
)
def test_networks(client: str, ok: bool) -> None:
    """Of several networks each counts, the first as the last, to its edges."""
    check = IpCheck((ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
    if ok:
        verification.verify(request(client=client), [check], NOW)
    else:
        assert refused(check, request(client=client)) == "address_not_allowed"


@pytest.mark.parametrize(("proxies", "ok"), [(31, True), (32, False)])
def test_long_chain_of_proxies(proxies: int, ok: bool) -> None:
    """Only so many proxies are gone through; a chain that is longer never reaches the address that is allowed."""
    given = request({"X-Forwarded-For": ", ".join(["192.0.2.7", *["10.0.0.1"] * proxies])}, client="10.1.1.1")
    if ok:
        verification.verify(given, [PROXIED], NOW)
    else:
        assert refused(PROXIED, given) == "address_not_allowed"


@pytest.mark.parametrize(
    ("header", "value", "ok"),
    [
        ("X-Forwarded-For", "192.0.2.7:51008", True),
        ("X-Forwarded-For", "[2001:db8::1]:443", True),
        ("X-Forwarded-For", "[2001:db8::1]", True),
        ("X-Forwarded-For", '"[2001:db8::1]:443"', True),
        ("X-Forwarded-For", "2001:db8::1", True),
        ("X-Forwarded-For", "[::ffff:192.0.2.7]:80", True),
        ("X-Forwarded-For", "192.0.2.7:80, 10.0.0.9:4711", True),
        ("X-Forwarded-For", "192.0.2.7, 198.51.100.1:80", False),
        ("X-Forwarded-For", "192.0.2.7:80:90", None),
        ("X-Forwarded-For", "[192.0.2.7", None),
        ("X-Forwarded-For", "unknown", None),
        ("X-Real-IP", "192.0.2.7", True),
        ("X-Real-IP", "198.51.100.7", False),
        ("Forwarded", "for=192.0.2.7", True),
        ("Forwarded", 'For="[2001:db8::1]:443";proto=https;by=203.0.113.9', True),
        ("Forwarded", 'proto=https; for="192.0.2.7:80", for=10.0.0.1;host=x', True),
        ("Forwarded", "for=192.0.2.7, for=198.51.100.1", False),
        ("Forwarded", "for=_hidden", None),
        ("Forwarded", "proto=https", None),
        ("Forwarded", "192.0.2.7", None),
    ],
)
def test_f39_forwarded(header: str, value: str, ok: bool | None) -> None:
    """F39: the forwarded address may have a port and brackets, and stand in another header; else it is malformed."""
    allow = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
    check = IpCheck(allow, (ip_network("10.0.0.0/8"),), header)
    given = request({header: value}, client="10.1.1.1")
    if ok:
        verification.verify(given, [check], NOW)
        with pytest.raises(errors.NotAdmitted):
            verification.verify(request({header: value}, client="203.0.113.1"), [check], NOW)
    else:
        assert refused(check, given) == ("malformed_forwarded" if ok is None else "address_not_allowed")


def test_f39_other_header_only() -> None:
    """F39: where the book names another header, X-Forwarded-For counts no more; several headers are one chain."""
    check = IpCheck((ip_network("192.0.2.0/24"),), (ip_network("10.0.0.0/8"),), "Forwarded")
    assert refused(check, request({"X-Forwarded-For": "192.0.2.7"}, client="10.1.1.1")) == "address_not_allowed"
    lines = ((b"forwarded", b"for=192.0.2.7"), (b"forwarded", b"for=10.0.0.2"))
    verification.verify(RawRequest(b"", lines, b"", "10.1.1.1"), [check], NOW)
    with pytest.raises(ValidationError, match="trusted_proxies"):
        Verify.model_validate({"ip": {"allow": "192.0.2.0/24", "trusted_header": "Forwarded"}})
    ip = {"allow": "192.0.2.0/24", "trusted_proxies": "10.0.0.0/8", "trusted_header": "Forwarded"}
    assert verification.checks(Verify.model_validate({"ip": ip}), {}) == (check,)


def test_all_must_hold() -> None:
    """Of several checks each one must hold."""
    right = request({"X-Relais-Token": "new"}, client="198.51.100.1")
    verification.verify(right, [HEADER], NOW)
    with pytest.raises(errors.NotAdmitted):
        verification.verify(right, [HEADER, IP], NOW)


def test_secret_parameters_are_hidden() -> None:
    """The token in the URL never becomes part of an event."""
    verified = verification.verify(request(query="token=old&email=eva%40example.org"), [QUERY], NOW)
    assert verified.query == [("email", "eva@example.org")]


def test_secrets_are_not_shown() -> None:
    """No check shows a secret when it is printed."""
    for check in ALL.values():
        assert "old" not in repr(check)
        assert KEY.decode() not in repr(check)
        assert "pass:word" not in repr(check)


def test_comparison_takes_constant_time() -> None:
    """Secrets are compared in one place only, by the standard library's constant-time comparison, without stopping."""
    assert "compare_digest" in inspect.getsource(verification._matches)
    assert "break" not in inspect.getsource(verification._matches)
    assert "==" not in inspect.getsource(verification.BasicCheck.check)


@pytest.mark.parametrize("way", ["header", "query", "basic", "basic_key", "hmac", "standard_webhooks"])
@pytest.mark.parametrize(("right", "proofs"), [("A", 1), ("B", 2), ("BA", 3)])
def test_which_secret(way: str, right: str, proofs: int) -> None:
    """Of several valid secrets it is known which one a request was signed with, by the place of its reference."""
    keys = {each: base64.b64encode(each.encode() * 24).decode() for each in "ABCD"}
    written: dict[str, dict[str, object]] = {
        "header": {"name": "X-T"},
        "query": {"name": "t"},
        "basic": {"user": "u"},
        "basic_key": {},
        "hmac": {"header": "X-S"},
        "standard_webhooks": {},
    }
    name = {"basic": "password", "hmac": "secret", "standard_webhooks": "secret"}.get(way, "value")

    def made(*secrets: str) -> tuple[verification.Check, ...]:
        verify = Verify.model_validate({way: {**written[way], name: list(secrets)}})
        return verification.checks(verify, {**keys, "B": keys["A"]} if right == "BA" else keys)

    (check,) = made("${A}", "${B}", "${MISSING}", keys["C"])
    assert check.labels == ("${A}", "${B}", f"{way}, no. 4, in clear")
    signed = verification.sign(made(f"${{{right[0]}}}"), b"{}", NOW, "m1")
    query = urlencode(signed.query).encode()
    headers = [(each.lower().encode(), value.encode()) for each, value in signed.headers.items()]
    assert verification.verify(RawRequest(b"{}", headers, query), [check], NOW).proofs == (proofs,)


def test_handshake_names_its_secret() -> None:
    """A handshake says which token came with it; what is signed proves nothing there."""
    verify = Verify.model_validate(
        {"handshake": {"name": "t", "value": ["${A}", "${B}"]}, "hmac": {"header": "X-S", "secret": "${A}"}}
    )
    assert verify.secret_names == ("${A}", "${B}")
    checks = verification.checks(verify, {"A": "a", "B": "b"})
    assert verification.greet(RawRequest(b"", [], b"t=b"), checks, NOW).proofs == (2, 0)


def test_checks_of_a_book() -> None:
    """What a book says under `verify:` becomes checks with their secrets, several valid at once."""
    verify = Verify.model_validate(
        {
            "header": {"name": "X-Relais-Token", "value": ["${A}", "${B}"]},
            "hmac": {"header": "X-S", "secret": "${A}", "signed": "timestamp.body", "timestamp_header": "X-T"},
            "standard_webhooks": {"secret": "${W}", "tolerance": "1m"},
            "basic": {"user": "relais", "password": "${B}"},
            "basic_key": {"value": ["${A}", "${B}"]},
            "query": {"name": "t", "value": "${A}"},
            "ip": {"allow": ["192.0.2.0/24", "2001:db8::/32"], "trusted_proxies": "10.0.0.0/8"},
        }
    )
    environ = {"A": "a", "B": "b", "W": "whsec_" + base64.b64encode(KEY).decode()}
    made = {type(check): check for check in verification.checks(verify, environ)}
    assert made[HeaderCheck] == HeaderCheck("X-Relais-Token", (b"a", b"b"))
    assert made[HmacCheck] == HmacCheck(
        ("X-S",), (b"a",), signed="{timestamp}.{body}", timestamp_headers=("X-T",), tolerance=300
    )
    assert made[StandardWebhooksCheck] == StandardWebhooksCheck((KEY,), 60, ("webhook", "svix"))
    assert made[BasicCheck] == BasicCheck(b"relais", (b"b",))
    assert made[BasicKeyCheck] == BasicKeyCheck((b"a", b"b"))
    networks = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
    assert made[IpCheck] == IpCheck(networks, (ip_network("10.0.0.0/8"),))
    assert made[Query] == Query("t", (b"a",))
    assert len(made) == 7
    with pytest.raises(SecretMissing, match="W"):
        verification.checks(verify, {"A": "a", "B": "b"})
    with pytest.raises(ValueError, match="whsec_"):
        verification.checks(verify, {**environ, "W": "no base64!"})


def test_none() -> None:
    """A source that says in words why it needs no verification has no checks."""
    assert verification.checks(Verify.model_validate({"none": "only reachable inside the house"}), {}) == ()


NAMES = st.sampled_from(
    [
        *("authorization", "x-relais-token", "x-signature", "x-timestamp", "x-forwarded-for"),
        *("webhook-id", "webhook-timestamp", "webhook-signature"),
    ]
)


@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=60)), max_size=6),
    st.binary(max_size=40),
    st.binary(max_size=40),
    st.sampled_from([*ALL.values(), IP, PROXIED]),
)
def test_hostile_requests(headers: list[tuple[str, bytes]], query: bytes, body: bytes, check: Any) -> None:
    """Whatever a request holds, it is verified or refused with one of our codes."""
    given = RawRequest(body, [(name.encode(), value) for name, value in headers], query, "10.1.1.1")
    with contextlib.suppress(errors.Unverified, errors.NotAdmitted, errors.NotParseable):
        verification.verify(given, [check], NOW)


def check_of(**written: Any) -> Check:
    verify = Verify.model_validate({"hmac": {"secret": "${A}", **written}})
    [check] = verification.checks(verify, {"A": KEY.decode()})
    return check


def mac(content: bytes, algorithm: str = "sha256") -> bytes:
    return stdlib.digest(KEY, content, algorithm)


STRIPE: dict[str, Any] = {
    "header": "Stripe-Signature",
    "signed": "{timestamp}.{body}",
    "parts": {"signature": "v1", "timestamp": "t"},
}


def test_f27_parts() -> None:
    """F27: a header of parts holds the timestamp and several signatures, of which one has to be right."""
    check = check_of(**STRIPE)
    right = mac(b"%d." % NOW + BODY).hex()
    for header in (
        f"t={NOW:.0f},v1={right}",
        f"t={NOW:.0f},v1={'0' * 64},v1={right},v0=ab",
        f" v1={right} ; t={NOW:.0f}",
    ):
        verification.verify(request({"Stripe-Signature": header}), [check], NOW)
    for header, code in (
        (f"v1={right}", "wrong_signature"),
        (f"t={NOW:.0f}", "malformed_signature"),
        (f"t={NOW:.0f},v1", "wrong_signature"),
        (f"t={NOW:.0f},v1=xy", "malformed_signature"),
        (f"t={NOW:.0f},t=1,v1={right}", "wrong_signature"),
        (f"t={NOW:.0f},v0={right}", "malformed_signature"),
        ("," * 500, "malformed_signature"),
    ):
        assert refused(check, request({"Stripe-Signature": header})) == code
    assert refused(check, request({"Stripe-Signature": f"t={NOW:.0f},v1={right}"}), NOW + 301) == "stale_timestamp"


def test_several_signatures() -> None:
    """Several signatures stand behind their prefixes, parted by commas or blanks; at most MOST_SIGNATURES count."""
    check = check_of(header="X-S", prefix="sha256=")
    right, wrong = f"sha256={mac(BODY).hex()}", f"sha256={'0' * 64}"
    for header in (f"{wrong},{right}", f"{wrong} {right}", f"{wrong},  {right}", f"sha1=00,{right}"):
        verification.verify(request({"X-S": header}), [check], NOW)
    assert refused(check, request({"X-S": ",".join([*[wrong] * 16, right])})) == "wrong_signature"
    bearer = check_of(header="Authorization", prefix="HMAC ", encoding="base64")
    header = "HMAC " + base64.b64encode(mac(BODY)).decode()
    verification.verify(request({"Authorization": header}), [bearer], NOW)


def test_other_header_names() -> None:
    """Of several names the first that came counts, and one only: no second header can mend a wrong first one."""
    check = check_of(header=["X-New", "X-Old"])
    right = mac(BODY).hex()
    verification.verify(request({"X-Old": right}), [check], NOW)
    verification.verify(request({"X-New": right, "X-Old": "00"}), [check], NOW)
    assert refused(check, request({"X-New": "00", "X-Old": right})) == "wrong_signature"
    assert check.secret_headers == {"x-new", "x-old"}


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64", "base64url"])
def test_encodings(algorithm: str, encoding: str) -> None:
    """Hex in any case, base64 and base64url with padding and without; the other alphabet is none of it."""
    check = check_of(header="X-S", algorithm=algorithm, encoding=encoding)
    for body in (b"a", b"b", b"c", b"d", b"e", b"f"):
        digest = mac(body, algorithm)
        if encoding == "hex":
            told = [digest.hex(), digest.hex().upper()]
        else:
            text = {"base64": base64.b64encode, "base64url": base64.urlsafe_b64encode}[encoding](digest).decode()
            told = [text, text.rstrip("=")]
        for each in told:
            verification.verify(request({"X-S": each}, body=body), [check], NOW)
        other = {"base64": base64.urlsafe_b64encode, "base64url": base64.b64encode, "hex": base64.b64encode}[encoding]
        text = other(digest).decode()
        if encoding == "hex" or set(text) & set("+/-_"):
            assert refused(check, request({"X-S": text}, body=body)) in ("malformed_signature", "wrong_signature")


@pytest.mark.parametrize(
    "told",
    [
        "1795000000",
        "1795000000000",
        "2026-11-18T11:06:40Z",
        "2026-11-18T11:06:40.000Z",
        "2026-11-18T12:06:40+01:00",
        "2026-11-18 11:06:40",
    ],
)
def test_timestamps(told: str) -> None:
    """A timestamp is seconds, milliseconds or ISO 8601; it is signed as it was written."""
    check = check_of(header="X-S", signed="{timestamp}\n{body}", timestamp_header=["X-T", "Date"])
    signed = mac(told.encode() + b"\n" + BODY).hex()
    for name in ("X-T", "Date"):
        verification.verify(request({"X-S": signed, name: told}), [check], NOW)
    assert refused(check, request({"X-S": signed, "X-T": told}), NOW + 400) == "stale_timestamp"


@pytest.mark.parametrize(
    "told",
    ["", "x", "1_795_000_000", "+1795000000", "2026-11-18", "2026-13-18T11:06:40Z", "Wed, 18 Nov 2026", "9" * 17],
)
def test_no_timestamps(told: str) -> None:
    """What is no time is refused, though it is signed."""
    check = check_of(header="X-S", signed="{timestamp}.{body}", timestamp_header="X-T")
    signed = mac(told.encode() + b"." + BODY).hex()
    assert refused(check, request({"X-S": signed, "X-T": told})) == "malformed_timestamp"


def test_slack_published_vector() -> None:
    """The example of docs.slack.dev, Verifying requests from Slack: version, timestamp and body with colons between."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    verify = Verify.model_validate(
        {
            "hmac": {
                "header": "X-Slack-Signature",
                "prefix": "v0=",
                "signed": "v0:{timestamp}:{body}",
                "timestamp_header": "X-Slack-Request-Timestamp",
                "secret": "${A}",
            }
        }
    )
    checks = verification.checks(verify, {"A": "8f742231b10e8888abcd99yyyzzz85a5"})
    headers: dict[str, str | bytes] = {
        "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        "X-Slack-Request-Timestamp": "1531420618",
    }
    verification.verify(request(headers, body=body), checks, 1531420618)
    assert refused(checks[0], request(headers, body=body + b" "), 1531420618) == "wrong_signature"


def test_f29_svix_names() -> None:
    """F29: Standard Webhooks come under the names of Svix, too, and under those that a book says; never under a mix."""
    verify = Verify.model_validate({"standard_webhooks": {"secret": "${A}"}})
    checks = verification.checks(verify, {"A": "whsec_" + base64.b64encode(KEY).decode()})
    signature = f"v1,{standard_digest(KEY)}"
    svix = {"svix-id": "msg_1", "svix-timestamp": f"{NOW:.0f}", "svix-signature": signature}
    assert verification.verify(request(svix), checks, NOW).sender_id == "msg_1"
    assert verification.verify(request(standard(signature)), checks, NOW).sender_id == "msg_1"
    mixed = {"webhook-id": "msg_2", **svix}
    assert refused(checks[0], request(mixed)) == "missing_signature"
    assert checks[0].secret_headers == {"webhook-signature", "svix-signature"}
    named = Verify.model_validate({"standard_webhooks": {"secret": "${A}", "prefix": "acme"}})
    [check] = verification.checks(named, {"A": "whsec_" + base64.b64encode(KEY).decode()})
    acme = {name.replace("svix", "acme"): value for name, value in svix.items()}
    assert verification.verify(request(acme), [check], NOW).sender_id == "msg_1"
    assert refused(check, request(svix)) == "missing_signature"


LITERALS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="{}"), max_size=5)


@st.composite
def compositions(draw: st.DrawFn) -> dict[str, Any]:
    """Return what a book may say under `hmac:`."""
    inner = ["{body}", *draw(st.lists(st.sampled_from(["{timestamp}", "{header.X-Id}"]), unique=True))]
    pieces = [piece for each in draw(st.permutations(inner)) for piece in (draw(LITERALS), each)]
    written: dict[str, Any] = {
        "header": draw(st.sampled_from(["X-S", ["X-S", "X-Other"]])),
        "algorithm": draw(st.sampled_from(["sha1", "sha256", "sha384", "sha512"])),
        "encoding": draw(st.sampled_from(["hex", "base64", "base64url"])),
        "signed": "".join([*pieces, draw(LITERALS)]),
    }
    in_parts = draw(st.booleans())
    if in_parts:
        written["parts"] = {"signature": "v1"}
    else:
        written["prefix"] = draw(st.sampled_from(["", "sha256=", "v1,", "HMAC ", "a, b"]))
    if "{timestamp}" in inner:
        if in_parts and draw(st.booleans()):
            written["parts"]["timestamp"] = "t"
        else:
            written["timestamp_header"] = "X-T"
    return written


@given(compositions(), st.binary(max_size=60), st.data())
def test_signed_is_verified_and_nothing_else(written: dict[str, Any], body: bytes, data: st.DataObject) -> None:
    """What a composition signs it verifies; with any signed byte changed, or another key, it does not."""
    check = check_of(**written)
    signed = verification.sign([check], body, NOW, "msg_1").headers
    verification.verify(request(signed, body=body), [check], NOW)
    if body:
        at = data.draw(st.integers(0, len(body) - 1))
        changed = body[:at] + bytes([body[at] ^ data.draw(st.integers(1, 255))]) + body[at + 1 :]
        assert refused(check, request(signed, body=changed)) == "wrong_signature"
    assert refused(check, request(signed, body=body + b"\0")) == "wrong_signature"
    for name in ("X-T", "X-Id"):
        if name in signed:
            assert refused(check, request({**signed, name: signed[name] + "0"}, body=body)) == "wrong_signature"
    if "parts" in written and "timestamp" in written["parts"]:
        later = signed["X-S"].replace(f"t={NOW:.0f}", f"t={NOW + 1:.0f}")
        assert refused(check, request({**signed, "X-S": later}, body=body)) == "wrong_signature"
    other = verification.checks(Verify.model_validate({"hmac": {"secret": "${A}", **written}}), {"A": "another key"})
    assert refused(other[0], request(signed, body=body)) == "wrong_signature"


@given(compositions(), st.lists(st.tuples(st.sampled_from(["x-s", "x-t", "x-id", "x-other"]), st.binary(max_size=80))))
def test_hostile_compositions(written: dict[str, Any], headers: list[tuple[str, bytes]]) -> None:
    """Whatever the headers of a composition hold, it is refused with one of our codes."""
    given = RawRequest(BODY, [(name.encode(), value) for name, value in headers], b"", "10.1.1.1")
    with pytest.raises(errors.Unverified):
        verification.verify(given, [check_of(**written)], NOW)
