"""Single sign-on against a provider over real HTTP, with real keys: who comes in, and each way in which nobody does."""

import asyncio
import base64
import hashlib
import hmac
import http.client
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from console.access import Actor, Audit, Role, Sessions, SignInRefused, SignOnRefused, Users, oidc, sessions
from console.access.oidc import SignOn
from console.access.oidc_settings import OidcSettings
from mailroom import Mailroom
from tests.console.access.fake_openid_provider import CLIENT, EVA, SECRET, FakeOpenIdProvider

pytestmark = pytest.mark.anyio

BACK = "http://127.0.0.1:8081/ui/sso/back"
ROLES = "operator=support; admin=it; payloads=privacy; viewer=eva@example.org"


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenIdProvider]:
    monkeypatch.setenv("OIDC_CLIENT_SECRET", SECRET)
    with FakeOpenIdProvider() as found:
        yield found


def configure(provider: FakeOpenIdProvider, **more: str) -> OidcSettings:
    given = {"oidc_issuer": provider.url, "oidc_client": CLIENT, "oidc_roles": ROLES, **more}
    return OidcSettings(**given)  # type: ignore[arg-type]


@pytest.fixture
async def door(provider: FakeOpenIdProvider, mailroom: Mailroom) -> AsyncIterator[SignOn]:
    async with oidc.open_sign_on(configure(provider), mailroom) as found:
        yield found


async def lead(to: str) -> dict[str, str]:
    """Go to the provider, as a browser would, and return what it says on the way back."""

    def go() -> str:
        parts = urlsplit(to)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        connection.request("GET", f"{parts.path}?{parts.query}")
        with connection.getresponse() as answer:
            assert answer.status == 302, answer.read()
            found = answer.headers["location"]
        connection.close()
        return found

    back = urlsplit(await asyncio.to_thread(go))
    assert f"{back.scheme}://{back.netloc}{back.path}" == BACK
    return dict(parse_qsl(back.query))


async def walk(door: SignOn, browser: str = "a browser", then: str = "") -> tuple[str, str]:
    """Sign in: the cookie, and where to."""
    return await door.finish(browser, await lead(await door.begin(browser, "192.0.2.1", BACK, then)))


async def refused(door: SignOn) -> tuple[str, str]:
    """Sign in in vain: why."""
    with pytest.raises(SignOnRefused) as exc:
        await walk(door)
    return exc.value.code, exc.value.why


async def test_sign_in(door: SignOn, mailroom: Mailroom) -> None:
    """Somebody whose group has a role comes in by it, sees what they wanted, and stands in the audit."""
    cookie, then = await walk(door, then="/events?type=x")
    assert then == "/events?type=x"
    assert await Sessions(mailroom).find(cookie) == Actor("sso:eva@example.org", Role.OPERATOR)
    [line], _ = await Audit(mailroom).read()
    assert (line.by, line.role, line.verb, line.what) == (
        "sso:eva@example.org",
        "operator",
        "sign_in",
        "single sign-on",
    )
    [user] = await Users(mailroom).all()
    assert (user.name, user.role, user.phrase) == ("sso:eva@example.org", Role.OPERATOR, "")
    assert user.added == user.last > 0
    kept = [name.decode() async for name in mailroom.store.scan_iter()]
    assert [name for name in kept if "sign_on" in name] == []


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "Ed25519"])
async def test_algorithms(algorithm: str, door: SignOn, provider: FakeOpenIdProvider) -> None:
    """Keys of RSA and of elliptic curves are taken; keys of a kind that nobody knows yet harm nobody."""
    provider.algorithm = algorithm
    if algorithm == "ES256":
        provider.keys = [ECKey.generate_key("P-256", {"kid": "curve"})]
    if algorithm == "Ed25519":
        provider.keys = [OKPKey.generate_key("Ed25519", {"kid": "edwards"})]
    assert await walk(door)


async def test_secret_in_the_body(door: SignOn, provider: FakeOpenIdProvider) -> None:
    """Where a provider takes the client's secret in the body, it gets it there."""
    provider.methods = ["client_secret_post"]
    assert await walk(door)


async def test_strange_methods(door: SignOn, provider: FakeOpenIdProvider) -> None:
    """Where it does not say how, in the header: that is what the standard has for it."""
    provider.metadata = {"token_endpoint_auth_methods_supported": 7}
    assert await walk(door)


async def test_wrong_secret(door: SignOn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong secret of the client is told by the code of the standard, and one that is gone by its name."""
    monkeypatch.setenv("OIDC_CLIENT_SECRET", "another")
    assert await refused(door) == ("unfit", "/token answered 401 invalid_client")
    monkeypatch.delenv("OIDC_CLIENT_SECRET")
    code, why = await refused(door)
    assert (code, "OIDC_CLIENT_SECRET" in why) == ("unfit", True)


# -- the way there and back


async def test_state_is_used_once(door: SignOn, provider: FakeOpenIdProvider, mailroom: Mailroom) -> None:
    """The way back is good for one use, also at the same moment; the code is asked about once."""
    await asyncio.gather(*(mailroom.store.ping() for _ in range(5)))  # so that none of them has to connect first
    said = await lead(await door.begin("a browser", "192.0.2.1", BACK, ""))
    found = await asyncio.gather(*(door.finish("a browser", said) for _ in range(5)), return_exceptions=True)
    assert [isinstance(one, SignOnRefused) and one.code for one in found].count("over") == 4
    with pytest.raises(SignOnRefused, match="over"):
        await door.finish("a browser", said)
    assert provider.seen.count("/token") == 1


@pytest.mark.parametrize("browser", ["another browser", ""])
async def test_another_browser(door: SignOn, browser: str) -> None:
    """The way back opens nothing in another browser, and stays good in the right one."""
    said = await lead(await door.begin("a browser", "192.0.2.1", BACK, ""))
    with pytest.raises(SignOnRefused, match="over"):
        await door.finish(browser, said)
    assert await door.finish("a browser", said)


@pytest.mark.parametrize("state", ["", "x", "x" * 10_000])
async def test_wrong_state(door: SignOn, state: str) -> None:
    """A state that nobody began is over."""
    said = await lead(await door.begin("a browser", "192.0.2.1", BACK, ""))
    with pytest.raises(SignOnRefused, match="over"):
        await door.finish("a browser", {**said, "state": state})
    with pytest.raises(SignOnRefused, match="over"):
        await door.finish("", {})


async def test_state_ends(door: SignOn, mailroom: Mailroom) -> None:
    """What was begun lives for ten minutes."""
    said = await lead(await door.begin("a browser", "192.0.2.1", BACK, ""))
    [key] = [name async for name in mailroom.store.scan_iter("*sign_on*")]
    assert 590 < await mailroom.store.ttl(key) <= 600
    await mailroom.store.pexpire(key, 1)
    await asyncio.sleep(0.05)
    with pytest.raises(SignOnRefused, match="over"):
        await door.finish("a browser", said)


async def test_two_tabs(door: SignOn, mailroom: Mailroom) -> None:
    """Two tabs of one browser both come in, whichever is first, as the same person."""
    one, two = [await lead(await door.begin("a browser", "192.0.2.1", BACK, then)) for then in ("/a", "/b")]
    assert [(await door.finish("a browser", said))[1] for said in (two, one)] == ["/b", "/a"]
    assert len(await Users(mailroom).all()) == 1


async def test_code_of_another_sign_in(door: SignOn) -> None:
    """A code is worth nothing with the state of another sign-in: its verifier does not fit."""
    one, two = [await lead(await door.begin("a browser", "192.0.2.1", BACK, "")) for _ in range(2)]
    with pytest.raises(SignOnRefused, match="unfit") as exc:
        await door.finish("a browser", {**one, "code": two["code"]})
    assert exc.value.why == "/token answered 400 invalid_grant"


async def test_replayed_code(door: SignOn) -> None:
    """A code that was used is refused by the provider, and so are none and a strange one."""
    used = await lead(await door.begin("a browser", "192.0.2.1", BACK, ""))
    await door.finish("a browser", used)
    for code in (used["code"], "", "x" * 5_000):
        fresh = await lead(await door.begin("a browser", "192.0.2.1", BACK, ""))
        with pytest.raises(SignOnRefused, match="unfit"):
            await door.finish("a browser", {**fresh, "code": code})


@pytest.mark.parametrize(("error", "why"), [("access_denied", "access_denied"), ("<b>\n", "")])
async def test_denied(door: SignOn, error: str, why: str) -> None:
    """Where the provider says no, nobody comes in; only a code of the standard reaches the log."""
    said = await lead(await door.begin("a browser", "192.0.2.1", BACK, ""))
    with pytest.raises(SignOnRefused) as exc:
        await door.finish("a browser", {"state": said["state"], "error": error})
    assert (exc.value.code, exc.value.why) == ("denied", why)


async def test_issuer_on_the_way_back(door: SignOn, provider: FakeOpenIdProvider) -> None:
    """The issuer on the way back (RFC 9207) has to be ours, and has to be there where the provider promises it."""
    provider.extra = {"iss": provider.url}
    assert await walk(door)
    provider.extra = {"iss": "https://evil.example.org"}
    assert await refused(door) == ("unfit", "another issuer answered")


async def test_issuer_on_the_way_back_is_promised(provider: FakeOpenIdProvider, mailroom: Mailroom) -> None:
    """Where the provider says that it names itself on the way back, an answer without that is none of its own."""
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    async with oidc.open_sign_on(configure(provider), mailroom) as door:
        assert await refused(door) == ("unfit", "another issuer answered")
        provider.extra = {"iss": provider.url}
        assert await walk(door)


async def test_patience(door: SignOn, provider: FakeOpenIdProvider) -> None:
    """Who begins again and again from one address has to wait; who comes in each time does not."""
    for _ in range(25):
        await walk(door)
    free, _ = sessions.PATIENCE["address"]
    for _ in range(free + 1):
        await door.begin("a browser", "192.0.2.1", BACK, "")
    with pytest.raises(SignInRefused):
        await door.begin("a browser", "192.0.2.1", BACK, "")
    assert await door.begin("a browser", "192.0.2.2", BACK, "")


async def test_redirect_that_is_set(provider: FakeOpenIdProvider, mailroom: Mailroom) -> None:
    """RELAIS_OIDC_REDIRECT counts, not what the browser asked; PKCE, state and nonce are others each time."""
    async with oidc.open_sign_on(configure(provider, oidc_redirect=BACK), mailroom) as door:
        asked = [
            dict(parse_qsl(urlsplit(await door.begin("b", "192.0.2.1", "http://evil.example.org/x", "")).query))
            for _ in range(2)
        ]
    assert {one["redirect_uri"] for one in asked} == {BACK}
    for name in ("state", "nonce", "code_challenge"):
        assert asked[0][name] != asked[1][name]
        assert len(asked[0][name]) >= 43


# -- the token


def none(claims: dict[str, Any]) -> str:
    parts = [{"alg": "none", "typ": "JWT"}, claims]
    return ".".join([base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts] + [""])


@pytest.mark.parametrize(
    ("wrong", "claim"),
    [
        ({"nonce": "another"}, "InvalidClaimError nonce"),
        ({"nonce": None}, "MissingClaimError nonce"),
        ({"aud": "another client"}, "InvalidClaimError aud"),
        ({"aud": ["another", "client"]}, "InvalidClaimError aud"),
        ({"aud": [CLIENT, "another"]}, "MissingClaimError azp"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "InvalidClaimError azp"),
        ({"azp": "another"}, "InvalidClaimError azp"),
        ({"aud": {"a": 1}}, "InvalidClaimError aud"),
        ({"iss": "https://evil.example.org"}, "InvalidClaimError iss"),
        ({"iss": None}, "MissingClaimError iss"),
        ({"exp": 1_000_000_000}, "ExpiredTokenError exp"),
        ({"exp": "tomorrow"}, "InvalidClaimError exp"),
        ({"exp": None}, "MissingClaimError exp"),
        ({"iat": 99_999_999_999}, "InvalidClaimError iat"),
        ({"nbf": 99_999_999_999}, "InvalidClaimError nbf"),
        ({"sub": None}, "MissingClaimError sub"),
        ({"sub": ""}, "InvalidClaimError sub"),
        ({"sub": 1001}, "InvalidClaimError sub"),
    ],
)
async def test_wrong_claims(wrong: dict[str, Any], claim: str, door: SignOn, provider: FakeOpenIdProvider) -> None:
    """A token that is rightly signed and says anything wrong lets nobody in."""
    provider.wrong = wrong
    assert await refused(door) == ("unfit", f"its ID token: {claim}")


async def test_clocks_may_differ(door: SignOn, provider: FakeOpenIdProvider) -> None:
    """A token that ended half a minute ago by our clock is taken, one that ended two minutes ago is not."""
    provider.wrong = {"exp": int(time.time()) - 30}
    assert await walk(door)
    provider.wrong = {"exp": int(time.time()) - 120}
    assert (await refused(door))[0] == "unfit"


def with_public_key(provider: FakeOpenIdProvider) -> Callable[[dict[str, Any]], str]:
    """Return what signs with the provider's public key as if both sides had it."""

    def forge(claims: dict[str, Any]) -> str:
        header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "one"}).encode()).decode().rstrip("=")
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        key = provider.keys[0].as_pem(private=False)
        told = hmac.digest(key, f"{header}.{body}".encode(), hashlib.sha256)
        return f"{header}.{body}.{base64.urlsafe_b64encode(told).decode().rstrip('=')}"

    return forge


async def test_forged_tokens(door: SignOn, provider: FakeOpenIdProvider) -> None:
    """Only what the provider's own keys have signed counts: no `none`, no shared key, no key of somebody else."""
    stranger = RSAKey.generate_key(2048)
    shared = OctKey.import_key("x" * 32)
    forgeries: list[Callable[[dict[str, Any]], str]] = [
        none,
        with_public_key(provider),
        lambda claims: jwt.encode({"alg": "HS256", "kid": "one"}, claims, shared),
        lambda claims: jwt.encode({"alg": "RS256", "kid": "one"}, claims, stranger),
        lambda claims: jwt.encode({"alg": "RS256", "kid": "nobody's"}, claims, stranger),
        lambda claims: jwt.encode({"alg": "RS256", "jwk": stranger.as_dict(private=False)}, claims, stranger),
        lambda claims: provider.sign(claims)[:-8] + "AAAAAAAA",
        lambda claims: provider.sign(claims).partition(".")[0],
        lambda _: "",
        lambda _: "a.b.c",
        lambda _: "é.é.é",
        lambda _: jwt.encode({"alg": "RS256", "kid": "one"}, {"a": "x" * 100_000}, provider.keys[0]),
    ]
    for forge in forgeries:
        provider.forge = forge
        code, why = await refused(door)
        assert (code, why.startswith("its ID token: ")) == ("unfit", True), why
    provider.forge = None
    assert await walk(door)


async def test_shared_key_among_the_keys(door: SignOn, provider: FakeOpenIdProvider) -> None:
    """Not even where the provider publishes a shared key does a signature with it count."""
    shared = OctKey.import_key({"kty": "oct", "k": "c2hhcmVkLXNoYXJlZC1zaGFyZWQtc2hhcmVk", "kid": "both"})
    provider.answers["/keys"] = JSONResponse({"keys": [shared.as_dict()]})
    provider.forge = lambda claims: jwt.encode({"alg": "HS256", "kid": "both"}, claims, shared)
    assert (await refused(door))[0] == "unfit"


async def test_rotated_key(door: SignOn, provider: FakeOpenIdProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is not known is looked for once, and then not again for a minute; one that is gone counts no more."""
    await walk(door)
    old = provider.keys[0]
    provider.rotate("two")
    assert (await refused(door))[0] == "unfit"  # it has just looked
    assert provider.seen.count("/keys") == 1
    monkeypatch.setattr(oidc, "LOOK_AGAIN", 0.0)
    assert await walk(door)
    assert provider.seen.count("/keys") == 2
    provider.forge = lambda claims: jwt.encode({"alg": "RS256", "kid": "one"}, claims, old)
    assert (await refused(door))[0] == "unfit"
    monkeypatch.undo()
    monkeypatch.setenv("OIDC_CLIENT_SECRET", SECRET)
    asked = provider.seen.count("/keys")
    for _ in range(5):
        assert (await refused(door))[0] == "unfit"
    assert provider.seen.count("/keys") == asked


async def test_key_of_the_same_name(
    door: SignOn, provider: FakeOpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new key under the name of the old one is found, too; so is what was withdrawn after an hour."""
    await walk(door)
    provider.rotate("one")
    monkeypatch.setattr(oidc, "LOOK_AGAIN", 0.0)
    assert await walk(door)
    monkeypatch.setattr(oidc, "BELIEVED", 0.0)
    asked = len(provider.seen)
    assert await walk(door)
    assert {"/keys", "/.well-known/openid-configuration"} <= set(provider.seen[asked:])


# -- the provider


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys"])
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (HTMLResponse("<html>Sign in to the hotel's network</html>"), "unfit"),
        (JSONResponse([]), "unfit"),
        (JSONResponse({}), "unfit"),
        (Response("[" * 100_000), "unfit"),
        (Response(b"{" + b" " * 1_000_000 + b"}"), "unfit"),
        (JSONResponse({"error": "away"}, 503), "away"),
        (HTMLResponse("<html>", 404), "unfit"),
        (RedirectResponse("http://127.0.0.1:1/elsewhere"), "unfit"),
        (JSONResponse({"keys": "x", "id_token": 7, "issuer": None}), "unfit"),
        (JSONResponse({"keys": [7, {"kty": "RSA", "n": "!", "e": []}], "id_token": ["x"]}), "unfit"),
    ],
)
async def test_strange_answers(
    path: str, answer: Response, code: str, provider: FakeOpenIdProvider, door: SignOn, mailroom: Mailroom
) -> None:
    """Whatever a provider answers, it is a refusal of ours, and no session."""
    provider.answers[path] = answer
    assert (await refused(door))[0] == code
    assert await Users(mailroom).all() == []


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example.org"},
        {"issuer": None},
        {"token_endpoint": "http://idp.example.org/token"},
        {"token_endpoint": "ftp://idp.example.org/token"},
        {"jwks_uri": None},
        {"jwks_uri": ["x"]},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://user:secret@idp.example.org/"},
        {"authorization_endpoint": "https://idp.example.org/\r\nSet-Cookie: x"},
    ],
)
async def test_strange_discovery(metadata: dict[str, Any], provider: FakeOpenIdProvider, door: SignOn) -> None:
    """A discovery document of another issuer, or with an address that cannot be one, leads nowhere."""
    provider.metadata = metadata
    with pytest.raises(SignOnRefused, match="unfit"):
        await door.begin("a browser", "192.0.2.1", BACK, "")


@pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri"])
async def test_addresses_inside(name: str, provider: FakeOpenIdProvider, door: SignOn) -> None:
    """The issuer may be in our own network, but its document leads to no other place in there."""
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.settimeout(0)
        provider.metadata = {name: f"http://127.0.0.1:{inside.getsockname()[1]}/x"}
        assert await refused(door) == ("away", "private_address")
        with pytest.raises(BlockingIOError):
            inside.accept()


async def test_provider_away(provider: FakeOpenIdProvider, mailroom: Mailroom) -> None:
    """While the provider is down or slow, people are told so, and nothing is kept of it: the next try may work."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
    async with oidc.open_sign_on(configure(provider, oidc_issuer=f"http://127.0.0.1:{number}"), mailroom) as door:
        assert await refused(door) == ("away", "refused")


async def test_slow_provider(door: SignOn, provider: FakeOpenIdProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that does not answer in time is away; once it answers, people come in."""
    monkeypatch.setattr(oidc, "PATIENCE", 0.3)
    provider.delay = 1.0
    assert await refused(door) == ("away", "timeout")
    monkeypatch.setattr(oidc, "PATIENCE", 10.0)
    provider.delay = 0.0
    assert await walk(door)


# -- who it is, and what they may


@pytest.mark.parametrize(
    ("groups", "role", "payloads"),
    [
        (["support"], Role.OPERATOR, False),
        ("support", Role.OPERATOR, False),
        (["others", "support", "it", "privacy"], Role.ADMIN, True),
    ],
)
async def test_roles(
    groups: Any, role: Role, payloads: bool, door: SignOn, provider: FakeOpenIdProvider, mailroom: Mailroom
) -> None:
    """The highest role of all groups counts; the right to see payloads is one apart."""
    provider.person = {**EVA, "groups": groups}
    cookie, _ = await walk(door)
    assert await Sessions(mailroom).find(cookie) == Actor("sso:eva@example.org", role, payloads)


@pytest.mark.parametrize("groups", [None, [], ["others"], ["privacy"], ["Support"], {"support": 1}, 7, [["support"]]])
async def test_no_role(groups: Any, door: SignOn, provider: FakeOpenIdProvider, mailroom: Mailroom) -> None:
    """Somebody without a group that has a role does not come in, and the audit says who tried."""
    provider.person = {**EVA, "groups": groups}
    assert (await refused(door))[0] == "no_role"
    assert await Users(mailroom).all() == []
    [line], _ = await Audit(mailroom).read()
    told = (line.by, line.role, line.verb, line.what)
    assert told == ("sso:eva@example.org", "", "sign_in_refused", "no_role")


async def test_role_that_was_taken(door: SignOn, provider: FakeOpenIdProvider, mailroom: Mailroom) -> None:
    """Roles are those of the latest sign-in, for all sessions; who has none any more is out everywhere."""
    first, _ = await walk(door)
    provider.person = {**EVA, "groups": ["it"]}
    await walk(door)
    assert await Sessions(mailroom).find(first) == Actor("sso:eva@example.org", Role.ADMIN)
    provider.person = {**EVA, "groups": []}
    assert (await refused(door))[0] == "no_role"
    assert await Sessions(mailroom).find(first) is None
    assert await Users(mailroom).all() == []


async def test_removed_person(door: SignOn, mailroom: Mailroom) -> None:
    """Who is removed is out at once; a pass phrase nobody of single sign-on can have."""
    cookie, _ = await walk(door)
    doors = Sessions(mailroom)
    assert await doors.reset("sso:eva@example.org") is None
    assert await doors.find(cookie) is not None
    await doors.remove("sso:eva@example.org")
    assert await doors.find(cookie) is None
    with pytest.raises(SignInRefused):
        await doors.sign_in("sso:eva@example.org", "", "192.0.2.1")


async def test_named_person_of_the_same_name(door: SignOn, mailroom: Mailroom) -> None:
    """Somebody of single sign-on is never one of the people whom we know ourselves."""
    await Users(mailroom).add("eva@example.org", Role.ADMIN, payloads=True)
    cookie, _ = await walk(door)
    assert await Sessions(mailroom).find(cookie) == Actor("sso:eva@example.org", Role.OPERATOR)
    assert [user.name for user in await Users(mailroom).all()] == ["eva@example.org", "sso:eva@example.org"]
    with pytest.raises(ValueError, match="is no name"):
        await Users(mailroom).add("sso:max", Role.ADMIN)


async def test_people_are_their_subject(door: SignOn, provider: FakeOpenIdProvider, mailroom: Mailroom) -> None:
    """Another account under the same address is somebody else, and refused; another address is the same person."""
    first, _ = await walk(door)
    provider.person = {**EVA, "sub": "2002"}
    assert (await refused(door))[0] == "name_taken"
    assert await Sessions(mailroom).find(first) is not None
    provider.person = {**EVA, "email": "eva.new@example.org"}
    cookie, _ = await walk(door)
    assert await Sessions(mailroom).find(cookie) == Actor("sso:eva@example.org", Role.OPERATOR)
    [user] = await Users(mailroom).all()
    assert user.subject == (await Users(mailroom).find_vouched(user.subject) or user).subject != ""


BASE = {"iss": "https://idp.example.org", "sub": "AbC/1"}


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"email": "Eva@Example.org", "email_verified": True, "preferred_username": "e"}, "sso:eva@example.org"),
        ({"email": "eva@example.org", "email_verified": False, "preferred_username": "e"}, "sso:e"),
        ({"email": "eva@example.org", "email_verified": False}, "sso:abc_1"),
        ({"email": "x@y", "email_verified": False, "preferred_username": "boss@example.org"}, "sso:abc_1"),
        ({"email": "eva@example.org", "email_verified": "true", "preferred_username": "e"}, "sso:e"),
        ({"preferred_username": "eva@example.org", "email": "eva@example.org"}, "sso:eva@example.org"),
        ({"preferred_username": ["x"], "email": 7, "email_verified": True}, "sso:abc_1"),
        ({"preferred_username": "Ève <b>\n" + "x" * 100}, "sso:_ve__b__" + "x" * 48),
        ({}, "sso:abc_1"),
    ],
)
async def test_names(claims: dict[str, Any], name: str) -> None:
    """People are called by an address that is verified, else by their user name; nothing else comes into a name."""
    assert oidc.judge({**BASE, **claims}, OidcSettings()).name == name


async def test_subjects() -> None:
    """A person is one of one issuer: the same `sub` elsewhere is somebody else."""
    both = [oidc.judge({"iss": iss, "sub": sub}, OidcSettings()) for iss, sub in (("a", "b"), ("ab", ""), ("a", "c"))]
    assert len({one.subject for one in both}) == 3


@pytest.mark.parametrize(
    ("path", "claims", "groups"),
    [
        ("groups", {"groups": ["a", 7, "b"]}, ["a", "b"]),
        ("realm_access.roles", {"realm_access": {"roles": ["a"]}}, ["a"]),
        ("realm_access.roles", {"realm_access": ["roles"]}, []),
        ("https://example.org/groups", {"https://example.org/groups": ["a"]}, ["a"]),
        ("email", {"email": "eva@example.org", "email_verified": True}, ["eva@example.org"]),
        ("email", {"email": "eva@example.org", "email_verified": False}, []),
        ("email", {"email": "eva@example.org"}, []),
        ("hd", {"hd": "example.org"}, ["example.org"]),
        ("groups", {}, []),
    ],
)
async def test_groups(path: str, claims: dict[str, Any], groups: list[str]) -> None:
    """Groups are found at a path, as texts; an address that is not verified is none."""
    assert oidc.find_groups(claims, path) == groups


@pytest.mark.parametrize(
    ("issuer", "claims", "welcome"),
    [
        ("https://idp.example.org", {"email": "eva@Example.org", "email_verified": True}, True),
        ("https://idp.example.org", {"email": "eva@example.org"}, False),
        ("https://idp.example.org", {"email": "eva@evil.example.org", "email_verified": True}, False),
        ("https://idp.example.org", {"hd": "example.org"}, False),
        (oidc.GOOGLE, {"hd": "example.org"}, True),
        (oidc.GOOGLE, {"email": "eva@example.org", "email_verified": True}, False),
        (oidc.GOOGLE, {"hd": ["example.org"]}, False),
    ],
)
async def test_domains(issuer: str, claims: dict[str, Any], welcome: bool) -> None:
    """A domain is that of a verified address, of Google that which owns the account: anybody may have an address."""
    settings = OidcSettings(
        oidc_issuer=issuer, oidc_client="c", oidc_roles=ROLES, oidc_domains="example.net, Example.org"
    )
    assert oidc.judge({**BASE, **claims}, settings).welcome is welcome


async def test_wrong_domain(provider: FakeOpenIdProvider, mailroom: Mailroom) -> None:
    """Somebody of another domain does not come in, whatever their groups."""
    async with oidc.open_sign_on(configure(provider, oidc_domains="example.com"), mailroom) as door:
        assert (await refused(door))[0] == "domain"


async def test_nothing_of_anybody_is_logged(
    door: SignOn, provider: FakeOpenIdProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a token, nor a code, nor a person stands in the log or in why somebody was refused."""
    caplog.set_level(logging.DEBUG)
    provider.wrong = {"aud": "another"}
    _, why = await refused(door)
    provider.person = {**EVA, "groups": []}
    provider.wrong = {}
    await refused(door)
    assert not any(each in caplog.text + why for each in ("eva", "1001", SECRET, "eyJ"))
