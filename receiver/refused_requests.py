"""Refused requests, kept for a few days so that people can see what a vendor really sends.

Comes in: a refusal and the request. Goes out: a record in the mailroom, without secrets. Never delays an answer, and
never lets strangers fill the store or keep it busy: requests beyond a rate are dropped and counted.
"""

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from mailroom import RefusedDetails, StoreUnavailable

log = logging.getLogger("relais.receiver")

#: Each record costs the store a sync; twenty a second leave it time for events.
SECONDS_BETWEEN = 0.05
MOST_WAITING = 100
#: Bytes that are kept of a body, whose beginning shows its shape, and of each header.
BODY_KEEPS = 16_384
HEADER_KEEPS = 500

#: Headers whose name says that they hold a secret, whatever the source.
SECRET = re.compile(r"auth|cookie|token|secret|signature|password|passwd|key|session|credential|sid$|otp")
#: Headers whose values are long, and neither secret nor anybody's.
HARMLESS = re.compile(
    r"accept.*|content-.*|user-agent|host|traceparent|date|via|(x-)?forwarded.*|x-real-ip|x-request-id"
)

_URL_USER = re.compile(r"//[^/?#@\s]*@")
_URL_QUERY = re.compile(r"[?#][^\s\"'<>]*")
#: What may be an address or a key: it is looked at as a whole, so that a long header takes no longer than it is.
_WORD = re.compile(r"[^\s\"'<>()\[\],;:=/?&]+")
_KEY = re.compile(r"[\w+/=.~-]{16,}", re.ASCII)
_SCHEME = re.compile(r"\b(basic|bearer|digest|negotiate|token)\s+\S+", re.IGNORECASE)
_PAIR = re.compile(rf"((?:{SECRET.pattern})[\w-]{{0,40}}\s?[=:]\s?)[^\s;,&]+", re.IGNORECASE)


_Refused = tuple[str, str, Mapping[str, str], bytes, RefusedDetails]


class RefusedRequestStore(Protocol):
    """The part of the mailroom that keeps refused requests."""

    async def refused(
        self, *, reason: str, source: str, headers: Mapping[str, str], body: bytes, more: RefusedDetails
    ) -> None:
        """Keep one."""
        ...


class RefusedRequests:
    """Carries refused requests to the mailroom, one after the other."""

    def __init__(self, room: RefusedRequestStore) -> None:
        self._room = room
        self._waiting: asyncio.Queue[_Refused] = asyncio.Queue(MOST_WAITING)
        #: Refused requests that were not kept.
        self.dropped = 0

    def keep(
        self,
        reason: str,
        source: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        name: str = "",
        verified: bool = False,
    ) -> None:
        """Take a refused request, unless too many wait already."""
        more = RefusedDetails(name, len(body), verified)
        try:
            self._waiting.put_nowait((reason, source, headers, body[:BODY_KEEPS], more))
        except asyncio.QueueFull:
            self.dropped += 1

    async def carry(self) -> None:
        """Write what was taken, until cancelled."""
        while True:
            reason, source, headers, body, more = await self._waiting.get()
            # Whatever a stranger wrote where a source's name stands, the log does not repeat it.
            known = "unknown" if reason == "unknown_source" else source
            log.warning("receiver.refused code=%s source=%s dropped_so_far=%d", reason, known, self.dropped)
            try:
                await self._room.refused(reason=reason, source=source, headers=headers, body=body, more=more)
            except StoreUnavailable:
                self.dropped += 1
            await asyncio.sleep(SECONDS_BETWEEN)


def hide_secrets(headers: Iterable[tuple[bytes, bytes]], secret: frozenset[str]) -> dict[str, str]:
    """Return headers as they may be stored. `secret`: names, in lower case, that the source verifies senders by."""
    told = {}
    for name, value in headers:
        text = name.decode("latin-1")
        hidden = text in secret or SECRET.search(text) is not None
        shown = value[:HEADER_KEEPS].decode("latin-1")
        told[text] = "***" if hidden else hide_values(shown, keys=HARMLESS.fullmatch(text) is None)
    return told


def hide_values(text: str, *, keys: bool = True) -> str:
    """Return a header's value, or a part of a URL, without queries and what looks like an address or a credential.

    `keys`: whether long words of letters and digits are taken for keys.
    """
    text = _URL_USER.sub("//***@", text)
    if "://" in text or text.startswith("/"):
        text = _URL_QUERY.sub("?***", text)
    text = _WORD.sub(lambda word: "***" if _is_address(word[0]) else word[0], text)
    text = _PAIR.sub(r"\1***", _SCHEME.sub(r"\1 ***", text))
    return _KEY.sub(lambda word: "***" if _is_key(word[0]) else word[0], text) if keys else text


def _is_address(word: str) -> bool:
    name, _, host = word.replace("%40", "@").partition("@")
    return bool(name.strip("*") and host)


def _is_key(word: str) -> bool:
    """Say whether a long word has letters and digits: a key, or a part of one."""
    return any(map(str.isdigit, word)) and any(map(str.isalpha, word))
