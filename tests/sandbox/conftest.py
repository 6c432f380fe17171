"""A sandbox on a real socket, empty before each test, and a client of nothing but the standard library."""

import base64
import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from sandbox import server
from sandbox.server import Running

Send = Callable[..., "SandboxAnswer"]


@dataclass(frozen=True)
class SandboxAnswer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        """Return the body, parsed."""
        return json.loads(self.text)


def send(
    url: str,
    method: str = "GET",
    *,
    headers: Mapping[str, str] | None = None,
    body: str | bytes | None = None,
    sent: object = None,
) -> SandboxAnswer:
    """Send one request on a connection of its own; `sent` goes as JSON. Raises what the socket raises."""
    address = urlsplit(url)
    told = dict(headers or {})
    if sent is not None:
        body = json.dumps(sent)
        told.setdefault("Content-Type", "application/json")
    assert address.hostname
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    try:
        connection.request(method, f"{address.path}?{address.query}", body=body, headers=told)
        response = connection.getresponse()
        return SandboxAnswer(response.status, dict(response.getheaders()), response.read().decode())
    finally:
        connection.close()


@pytest.fixture(scope="session")
def one_sandbox() -> Iterator[Running]:
    """One server for all tests of this folder: starting one per test would cost more than the tests."""
    with server.in_thread() as running:
        yield running


@pytest.fixture
def sandbox(one_sandbox: Running) -> Running:
    """The sandbox, with nothing in it."""
    assert send(f"{one_sandbox.url}/_sandbox/reset", "POST").status == 204
    return one_sandbox


@pytest.fixture
def control(sandbox: Running) -> Send:
    """Requests to `/_sandbox`."""

    def ask(method: str, path: str, **rest: Any) -> SandboxAnswer:
        return send(f"{sandbox.url}/_sandbox{path}", method, **rest)

    return ask


@pytest.fixture
def maileon(sandbox: Running) -> Send:
    """Requests to Maileon with the key that may do all; a dict goes as its JSON."""

    def ask(method: str, path: str, *, key: str | None = None, sent: object = None, **rest: Any) -> SandboxAnswer:
        raw = sandbox.world.accounts.maileon_api_key if key is None else key
        headers = {
            "Authorization": f"Basic {base64.b64encode(raw.encode()).decode()}",
            "Content-Type": "application/vnd.maileon.api+json",
            **rest.pop("headers", {}),
        }
        return send(f"{sandbox.base('maileon')}{path}", method, headers=headers, sent=sent, **rest)

    return ask


@pytest.fixture
def seminardesk(sandbox: Running) -> Send:
    """Requests to SeminarDesk with the key that may write."""

    def ask(method: str, path: str, *, key: str | None = None, **rest: Any) -> SandboxAnswer:
        headers = {"X-API-Key": sandbox.world.accounts.seminardesk_api_key if key is None else key}
        return send(f"{sandbox.base('seminardesk')}{path}", method, headers=headers, **rest)

    return ask


@pytest.fixture
def crm(sandbox: Running) -> Send:
    """Requests to the CRM with its token."""

    def ask(method: str, path: str, **rest: Any) -> SandboxAnswer:
        headers = {"Authorization": f"Bearer {sandbox.world.accounts.crm_token}", **rest.pop("headers", {})}
        return send(f"{sandbox.base('crm')}{path}", method, headers=headers, **rest)

    return ask


@pytest.fixture
def invoicing(sandbox: Running) -> Send:
    """Requests to the invoicing system with its token."""

    def ask(method: str, path: str, **rest: Any) -> SandboxAnswer:
        headers = {"Authorization": f"Bearer {sandbox.world.accounts.invoicing_token}", **rest.pop("headers", {})}
        return send(f"{sandbox.base('invoicing')}{path}", method, headers=headers, **rest)

    return ask
