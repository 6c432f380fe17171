"""Somebody who looks at pages without a browser: plain requests, a cookie, forms as a page of ours would send them.

Comes in: a console's address and its store. Goes out: status, headers and text. Never follows a redirection.
"""

import asyncio
import http.client
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from console.access import Role, Sessions
from mailroom import Mailroom

#: What a browser says of itself when a form of the same origin is sent.
OWN = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class PageVisitor:
    """One person with one cookie."""

    url: str
    cookie: str = ""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: str | None = None, headers: Mapping[str, str] = {}) -> str:
        """Return the text of an answer."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        cookie = {"Cookie": f"relais-{parts.port}={self.cookie}"} if self.cookie else {}
        connection.request(method, path, body, {**cookie, **headers})
        with connection.getresponse() as answer:
            self.status, self.headers = answer.status, dict(answer.headers)
            text = answer.read().decode()
        connection.close()
        return text

    def get(self, path: str, **headers: str) -> str:
        """Return a page."""
        return self.ask("GET", f"/ui{path}", None, {name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, fields: Mapping[str, Any], headers: Mapping[str, str] = OWN) -> str:
        """Send a form."""
        form = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        return self.ask("POST", f"/ui{path}", urlencode(fields), form)

    def fill(self, path: str, **fields: str) -> str:
        """Look at the form of a page, fill it in, send it."""
        page = self.get(path)
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.partition("<main")[2]))
        return self.post(path.partition("?")[0], {**hidden, **fields})


def let_in(url: str, store: str, role: Role = Role.ADMIN, *, name: str = "ada", payloads: bool = False) -> PageVisitor:
    """Return somebody who came in by a link."""

    async def invite() -> str:
        async with Mailroom.connect(store) as mailroom:
            return await Sessions(mailroom).invite(name, role=role, payloads=payloads)

    visitor = PageVisitor(url)
    visitor.post(f"/enter/{asyncio.run(invite())}", {})
    visitor.cookie = visitor.headers["set-cookie"].partition("=")[2].partition(";")[0]
    return visitor
