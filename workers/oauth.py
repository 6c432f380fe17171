"""Access tokens by OAuth 2.0 client credentials (RFC 6749, 4.4), one for each destination and process.

Comes in: where tokens are given, and who we are. Goes out: a token that is good for a while. Never asks twice at once,
writes a token down or names one in an error. What the API was asked is never unknown because of a token: it is fetched
before the API is asked.
"""

import asyncio
import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote_plus

from workers.http import HiddenHeaders, Http, HttpAnswer
from workers.outcome import Failed

#: Seconds before its end at which a token is replaced, and the share of its life that is for that at the most.
EARLY, EARLY_SHARE = 60.0, 0.2
#: Seconds for which a token counts as good whose life is not said: until the API refuses it.
UNSAID = 600.0
#: What a server may say of a refusal (RFC 6749, 5.2): words that are safe to show.
REASONS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)


@dataclass(frozen=True)
class TokenRequest:
    """What is asked for a token."""

    url: str = field(repr=False)
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    scope: str = ""
    #: More fields of the form, such as `audience`.
    more: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: True: id and secret stand in the form; False: in the header, as every server must take them.
    in_body: bool = False


class TokenSource:
    """Gives the token of one destination; all deliveries of the process share it."""

    def __init__(self, http: Http, request: TokenRequest) -> None:
        self._http = http
        self._request = request
        self._token = ""
        self._good_until = 0.0
        self._fetching = asyncio.Lock()

    async def get(self) -> str:
        """Return a token, a new one shortly before the old one ends. Raises Failed: the API was not asked."""
        if time.monotonic() >= self._good_until:
            async with self._fetching:
                if time.monotonic() >= self._good_until:
                    await self._fetch()
        return self._token

    def drop(self, token: str) -> None:
        """Forget a token that the API refused, unless there is a newer one."""
        if token == self._token:
            self._good_until = 0.0

    async def _fetch(self) -> None:
        asked, began = self._request, time.monotonic()
        form = {"grant_type": "client_credentials", **({"scope": asked.scope} if asked.scope else {}), **asked.more}
        headers = HiddenHeaders()
        if asked.in_body:
            form |= {"client_id": asked.client_id, "client_secret": asked.client_secret}
        else:
            pair = f"{quote_plus(asked.client_id)}:{quote_plus(asked.client_secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        answer = await self._http.exchange().request("POST", asked.url, headers=headers, form=form)
        self._token, life = _read_token(answer)
        self._good_until = began + life - min(EARLY, EARLY_SHARE * life)


def _read_token(answer: HttpAnswer) -> tuple[str, float]:
    """Return token and seconds of its life. Raises Failed."""
    found: Any = answer.json()
    said: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Failed("limited", "limited", wait=answer.wait(), status=answer.status)
    if 400 <= answer.status < 500 and answer.status != HTTPStatus.REQUEST_TIMEOUT:
        reason = said.get("error") if said.get("error") in REASONS else f"HTTP {answer.status}"
        hint = f"no token was given ({reason}); look at oauth: client_id, client_secret, scope, token_url"
        raise Failed("credential", "token_refused", status=answer.status, hint=hint)
    token, kind = said.get("access_token"), said.get("token_type", "bearer")
    if not answer.ok or not isinstance(token, str) or not token or str(kind).lower() != "bearer":
        hint = "the server of tokens gave none that can be used; look at token_url"
        raise Failed("transient", "token_unavailable", wait=answer.wait(), status=answer.status, hint=hint)
    try:
        life = float(said.get("expires_in") or UNSAID)
    except (TypeError, ValueError):
        life = UNSAID
    return token, life if 0 < life < 1e9 else UNSAID
