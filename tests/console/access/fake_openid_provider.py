"""An OpenID provider on loopback with keys of its own, as strict as the standard has it: what it does not know is 400.

Comes in: HTTP of a browser and of the console, faults that a test orders. Goes out: discovery, codes, signed ID tokens,
keys. It takes whoever asks for the person that the test says. Runs in a thread of its own.
"""

import base64
import functools
import hashlib
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

import anyio
import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.conftest import wait_until

CLIENT, SECRET = "relais", "s3cret/with+signs"
#: All that an authorization request of ours may hold.
ASKED = {"response_type", "client_id", "redirect_uri", "scope", "state", "nonce"}
ASKED |= {"code_challenge", "code_challenge_method"}
EVA = {"sub": "1001", "email": "eva@example.org", "email_verified": True, "groups": ["support"]}


@functools.cache
def make_first_key() -> RSAKey:
    """Return the key with which each provider begins: to make one takes long."""
    return RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})


class FakeOpenIdProvider:
    """Use it as `with`."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = 0
        self.keys: list[RSAKey | ECKey | OKPKey] = [make_first_key()]
        self.algorithm = "RS256"
        #: Who signs in next.
        self.person: Mapping[str, Any] = EVA
        #: Claims that the next tokens have instead; None: not at all.
        self.wrong: dict[str, Any] = {}
        #: Makes the token of its claims, instead of signing it rightly.
        self.forge: Callable[[dict[str, Any]], str] | None = None
        #: Path -> what is answered instead; what the discovery document says otherwise.
        self.answers: dict[str, Response] = {}
        self.metadata: dict[str, Any] = {}
        #: Seconds before anything is answered.
        self.delay = 0.0
        #: Whether it shows a page with a link, as a provider does where nobody is signed in yet.
        self.asks = False
        #: What the way back says beside code and state.
        self.extra: dict[str, str] = {}
        self.methods = ["client_secret_basic"]
        #: Paths as they were asked.
        self.seen: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def __enter__(self) -> "FakeOpenIdProvider":
        app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._answer(self._discovery)),
                Route("/authorize", self._answer(self._authorize)),
                Route("/token", self._answer(self._token), methods=["POST"]),
                Route("/keys", self._answer(self._keys)),
            ]
        )
        self._server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, log_level="error", lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started, "the provider runs")
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    def rotate(self, kid: str) -> None:
        """Sign with a new key from now on; the old one is forgotten."""
        self.keys = [RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})]

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a token as it should be."""
        return jwt.encode({"alg": self.algorithm, "kid": self.keys[0].kid}, claims, self.keys[0], [self.algorithm])

    # -- routes

    def _answer(self, of: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answered(request: Request) -> Response:
            self.seen.append(request.url.path)
            if self.delay:
                await anyio.sleep(self.delay)
            return self.answers.get(request.url.path) or await of(request)

        return answered

    async def _discovery(self, _: Request) -> Response:
        told = {"issuer": self.url, "authorization_endpoint": f"{self.url}/authorize"}
        told |= {"token_endpoint": f"{self.url}/token", "jwks_uri": f"{self.url}/keys"}
        return JSONResponse({**told, "token_endpoint_auth_methods_supported": self.methods, **self.metadata})

    async def _keys(self, _: Request) -> Response:
        strange = {"kty": "AKP", "kid": "post-quantum", "alg": "ML-DSA-44", "pub": "AA"}
        return JSONResponse({"keys": [*KeySet(list(self.keys)).as_dict()["keys"], strange]})

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        right = {"response_type": "code", "client_id": CLIENT, "code_challenge_method": "S256"}
        if set(asked) != ASKED or not right.items() <= asked.items() or "openid" not in asked["scope"].split():
            return JSONResponse({"error": "invalid_request"}, 400)
        if not asked["redirect_uri"].endswith("/ui/sso/back") or len(asked["code_challenge"]) != 43:
            return JSONResponse({"error": "invalid_request"}, 400)
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        back = {"code": code, "state": asked["state"], **self.extra}
        address = f"{asked['redirect_uri']}?{urlencode(back)}"
        if self.asks:
            return HTMLResponse(
                f'<html lang="en"><title>Provider</title><a href="{escape(address)}">It is me</a></html>'
            )
        return RedirectResponse(address, 302)

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        if not self._knows_client(request, form):
            return JSONResponse({"error": "invalid_client"}, 401)
        begun = self._codes.pop(form.get("code", ""), None)
        verifier = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            begun is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != begun["redirect_uri"]
            or verifier.decode().rstrip("=") != begun["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": begun["nonce"], **self.person}
        claims = {name: value for name, value in {**claims, **self.wrong}.items() if value is not None}
        token = (self.forge or self.sign)(claims)
        return JSONResponse({"access_token": "opaque", "token_type": "Bearer", "id_token": token})

    def _knows_client(self, request: Request, form: Mapping[str, str]) -> bool:
        scheme, _, told = request.headers.get("authorization", "").partition(" ")
        if self.methods == ["client_secret_post"]:
            return not told and (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)
        pair = base64.b64decode(told).decode().split(":")
        return scheme == "Basic" and [unquote(each) for each in pair] == [CLIENT, SECRET]
