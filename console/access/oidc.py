"""Single sign-on: people for whom an OpenID provider vouches (authorization code with PKCE, groups become roles).

Comes in: settings, the browser that asks, what the provider sent it back with. Goes out: where to send the browser,
then a session. Never keeps what the provider says but a name, a role and a hash of who it is; never takes somebody for
a named person of our own: names of single sign-on begin with `sso:`.
"""

import base64
import contextlib
import hmac
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError
from joserfc.jwk import KeySet

from console.access.audit import Audit
from console.access.oidc_settings import PAYLOADS, OidcSettings, demand_address, read_secret
from console.access.roles import Actor, Role
from console.access.sessions import LINK_LIVES, Sessions, SignOnRefused
from console.access.tokens import hash_secret
from console.access.users import NameTaken, Users
from mailroom import Mailroom
from rules.errors import SecretMissing
from workers.http import Http
from workers.outcome import Failed

#: Seconds that the provider gets for one answer.
PATIENCE = 10.0
#: Seconds that clocks may differ.
LEEWAY = 60
#: Seconds that addresses and keys of the provider are believed, and between two looks for a key that is not among them.
BELIEVED, LOOK_AGAIN = 3600.0, 60.0
#: Signatures that only the provider can make. None with a key that both sides have, and never `none`.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
#: Tells the domain of an account in `hd`, and lets anybody have an account under an address of a domain.
GOOGLE = "https://accounts.google.com"


@dataclass(frozen=True)
class VouchedPerson:
    """Somebody for whom the provider vouches."""

    #: Who it is, as the provider always says it, hashed; names and addresses change hands.
    subject: str
    #: How people call them, `sso:eva@example.org`.
    name: str
    #: None: no group of theirs has a role.
    role: Role | None
    payloads: bool
    #: Whether they are of a domain whose people may sign in.
    welcome: bool


class OidcProvider:
    """The provider: its addresses, its keys, and what it says of a person."""

    def __init__(self, settings: OidcSettings, http: Http) -> None:
        self._settings = settings
        self._http = http
        self._metadata: tuple[float, Mapping[str, Any]] = 0.0, {}
        self._keys: tuple[float, KeySet] = 0.0, KeySet([])

    async def discover(self) -> Mapping[str, Any]:
        """Return what the provider says of itself. Raises SignOnRefused."""
        asked, found = self._metadata
        if not found or time.monotonic() - asked > BELIEVED:
            issuer = self._settings.oidc_issuer
            found = await self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != issuer:
                raise SignOnRefused("unfit", "its discovery document names another issuer")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                try:
                    demand_address(found.get(name))
                except ValueError as exc:
                    raise SignOnRefused("unfit", f"{name}: {exc}") from None
            self._metadata = time.monotonic(), found
        return found

    async def redeem(self, code: str, begun: Mapping[str, str]) -> dict[str, Any]:
        """Return the claims of the person who came back with a code. Raises SignOnRefused."""
        metadata, client = await self.discover(), self._settings.oidc_client
        try:
            known = read_secret()
        except SecretMissing as exc:
            raise SignOnRefused("unfit", str(exc)) from None
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": begun["back"]}
        form["code_verifier"], headers = begun["verifier"], {}
        methods = metadata.get("token_endpoint_auth_methods_supported")
        # In the body, where the provider takes it there: how its signs are written in a header is read in two ways.
        if isinstance(methods, list) and "client_secret_post" in methods:
            form |= {"client_id": client, "client_secret": known}
        else:
            pair = f"{quote(client, safe='')}:{quote(known, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        said = await self._ask("POST", metadata["token_endpoint"], form=form, headers=headers)
        try:
            token = await self._verify(said["id_token"], metadata["jwks_uri"])
            wanted = {
                "iss": {"value": self._settings.oidc_issuer},
                "aud": {"value": client},
                "sub": {"essential": True},
            }
            claims = CodeIDToken(token.claims, token.header, wanted, {"nonce": begun["nonce"], "client_id": client})
            claims.validate(leeway=LEEWAY)
        except SignOnRefused:
            raise
        except Exception as exc:  # whatever a strange answer makes of the libraries
            claim = getattr(exc, "claim", None) or ""
            raise SignOnRefused("unfit", f"its ID token: {type(exc).__name__} {claim}".rstrip()) from None
        return dict(claims)

    async def _verify(self, text: str, address: str) -> jwt.Token:
        """Return what a token says. A key that is not known is looked for once, and not again for a minute."""
        asked, keys = self._keys
        if not keys or time.monotonic() - asked > BELIEVED:
            keys = await self._read_keys(address)
        elif time.monotonic() - asked > LOOK_AGAIN:
            try:
                return jwt.decode(text, keys, ALGORITHMS)
            except (InvalidKeyIdError, BadSignatureError):
                keys = await self._read_keys(address)
        return jwt.decode(text, keys, ALGORITHMS)

    async def _read_keys(self, address: str) -> KeySet:
        found: Any = await self._ask("GET", address)
        keys = KeySet.import_key_set(found)
        self._keys = time.monotonic(), keys
        return keys

    async def _ask(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        # The issuer may be inside our own network: who set it knows. What its answers name elsewhere may not.
        own = urlsplit(url)[:2] == urlsplit(self._settings.oidc_issuer)[:2]
        try:
            answer = await self._http.bind(timeout=PATIENCE, allow_private=own).exchange().request(method, url, **more)
        except Failed as exc:
            raise SignOnRefused("away", exc.code) from None
        said = answer.json()
        if not answer.ok or answer.cut or not isinstance(said, dict):
            error = _keep_code(said.get("error")) if isinstance(said, dict) else "no JSON object"
            told = f"{urlsplit(url).path} answered {answer.status} {'too much' if answer.cut else error}".rstrip()
            raise SignOnRefused("away" if answer.status >= 500 else "unfit", told)
        return said


class SignOn:
    """Single sign-on at one console."""

    def __init__(self, settings: OidcSettings, provider: OidcProvider, mailroom: Mailroom) -> None:
        self._settings = settings
        self._provider = provider
        self._mailroom = mailroom
        self._store: Any = mailroom.store
        self._users, self._sessions, self._audit = Users(mailroom), Sessions(mailroom), Audit(mailroom)

    async def begin(self, browser: str, address: str, back: str, then: str) -> str:
        """Return where to send a browser.

        `browser`: a secret that it alone has. `address`: where it is. `back`: where the provider sends it back to.
        `then`: what it wanted to see. Raises SignOnRefused, SignInRefused, StoreUnavailable.
        """
        await self._sessions.be_patient("address", address)
        metadata = await self._provider.discover()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        begun = {"browser": hash_secret(browser), "address": address, "nonce": nonce, "verifier": verifier}
        begun |= {"back": self._settings.oidc_redirect or back, "then": then}
        await self._mailroom.read(self._store.set(self._key(state), json.dumps(begun), ex=LINK_LIVES))
        asked = {"response_type": "code", "client_id": self._settings.oidc_client, "redirect_uri": begun["back"]}
        asked |= {"scope": self._settings.oidc_scopes, "state": state, "nonce": nonce}
        asked |= {"code_challenge": create_s256_code_challenge(verifier), "code_challenge_method": "S256"}
        to: str = metadata["authorization_endpoint"]
        return f"{to}{'&' if '?' in to else '?'}{urlencode(asked)}"

    async def finish(self, browser: str, said: Mapping[str, str]) -> tuple[str, str]:
        """Return the cookie of a new session, and what its person wanted to see.

        `said`: what the provider sent the browser back with. Raises SignOnRefused, StoreUnavailable.
        """
        begun = await self._take(browser, said.get("state", ""))
        metadata = await self._provider.discover()
        named = "iss" in said or metadata.get("authorization_response_iss_parameter_supported") is True
        if named and said.get("iss") != self._settings.oidc_issuer:
            raise SignOnRefused("unfit", "another issuer answered")
        if error := said.get("error"):
            raise SignOnRefused("denied", _keep_code(error))
        person = judge(await self._provider.redeem(said.get("code", ""), begun), self._settings)
        if person.role is None or not person.welcome:
            await self._refuse(person, "no_role" if person.welcome else "domain")
        try:
            user = await self._users.vouch(person.subject, person.name, person.role, payloads=person.payloads)
        except NameTaken:
            await self._refuse(person, "name_taken")
        await self._audit.write(Actor(user.name, user.role, user.payloads), "sign_in", "single sign-on")
        await self._sessions.forgive(begun["address"])
        return await self._sessions.begin(user), begun["then"]

    async def _take(self, browser: str, state: str) -> dict[str, str]:
        """Return what was begun under a state, once, and only to the browser that began it. Raises SignOnRefused."""
        text = await self._mailroom.read(self._store.get(self._key(state)))
        begun: dict[str, str] = json.loads(text) if text else {"browser": ""}
        if not hmac.compare_digest(begun["browser"], hash_secret(browser)):
            raise SignOnRefused("over", "this browser began no such thing")
        if not await self._mailroom.read(self._store.delete(self._key(state))):
            raise SignOnRefused("over", "it was used at the same time")
        return begun

    async def _refuse(self, person: VouchedPerson, code: str) -> NoReturn:
        """Write down that somebody whom the provider knows may not come in, and end what sessions they have."""
        await self._audit.write(person.name, "sign_in_refused", code)
        if known := await self._users.find_vouched(person.subject):
            await self._sessions.remove(known.name)
        raise SignOnRefused(code)

    def _key(self, state: str) -> str:
        return self._mailroom.key(f"sign_on:{hash_secret(state)}")


@contextlib.asynccontextmanager
async def open_sign_on(settings: OidcSettings, mailroom: Mailroom) -> AsyncIterator[SignOn]:
    """Open what single sign-on needs; nothing is asked yet."""
    async with Http() as http:
        yield SignOn(settings, OidcProvider(settings, http), mailroom)


def judge(claims: Mapping[str, Any], settings: OidcSettings) -> VouchedPerson:
    """Return who somebody is, and what they may, by the claims of a token that was checked."""
    email = claims.get("email") if claims.get("email_verified") is True else None
    email = email if isinstance(email, str) else ""
    words = {word for group in find_groups(claims, settings.oidc_groups) for word in settings.roles.get(group, ())}
    domain = claims.get("hd") if settings.oidc_issuer == GOOGLE else email.rpartition("@")[2]
    return VouchedPerson(
        subject=hash_secret(json.dumps([claims["iss"], claims["sub"]])),
        name=name_person(claims, email),
        role=max((Role.read(word) for word in words - {PAYLOADS}), default=None),
        payloads=PAYLOADS in words,
        welcome=not settings.domains or str(domain or "").casefold() in settings.domains,
    )


def find_groups(claims: Mapping[str, Any], path: str) -> list[str]:
    """Return the texts at a path of the claims. An e-mail address counts only where the provider has verified it."""
    if path == "email" and claims.get("email_verified") is not True:
        return []
    found: Any = claims
    for part in [path] if path in claims else path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, str)]


def name_person(claims: Mapping[str, Any], email: str) -> str:
    """Return how people call somebody: `email`, if the provider has verified one, else the user name there, else `sub`.

    Where the provider says that it has not verified their address, a user name that looks like one is none.
    """
    told = claims.get("preferred_username")
    if not isinstance(told, str) or (claims.get("email_verified") is False and "@" in told):
        told = ""
    return "sso:" + re.sub(r"[^a-z0-9._@-]", "_", (email or told or claims["sub"]).casefold())[:56]


def _keep_code(said: object) -> str:
    """Return an error code of OAuth, which a stranger may have made up; empty where it is none."""
    return said if isinstance(said, str) and re.fullmatch(r"[a-z_]{1,40}", said) else ""
