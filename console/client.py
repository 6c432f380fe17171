"""Asks the console's private port, for the commands that show what happened and decide about what is stuck.

Comes in: a path, and what was decided. Goes out: parsed JSON, one answer or a stream of lines, or a UserError that
says how to reach the console. Never talks to the store: the console is the one door for people.
"""

import contextlib
import getpass
import http.client
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Self
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from console import settings
from console.errors import SAID_NO, UserError


class ClientSettings(BaseSettings):
    """What the commands read that ask the console."""

    model_config = SettingsConfigDict(env_prefix="RELAIS_", frozen=True, hide_input_in_errors=True, extra="ignore")

    console_url: str = Field(
        "http://127.0.0.1:8081", description="Where `relais events` and `relais replay --wait` find the console."
    )
    console_token: SecretStr = Field(
        SecretStr(""), description="Bearer token of the console; must be set beyond loopback."
    )


class ConsoleClient:
    """One console."""

    def __init__(self, said: ClientSettings) -> None:
        self.url = said.console_url.rstrip("/")
        self.headers = {}
        if token := said.console_token.get_secret_value():
            self.headers["Authorization"] = f"Bearer {token}"

    @classmethod
    def from_settings(cls) -> Self:
        """Return the one that the settings name. Raises UserError."""
        return cls(settings.load(ClientSettings))

    def get(self, path: str, within: float = 70.0) -> Any:
        """Return the answer of `GET path`. Raises UserError."""
        with self._ask(path, within) as response:
            try:
                return json.loads(response.read())
            except (ValueError, OSError, http.client.HTTPException) as exc:
                raise self._strange() from exc

    def post(self, path: str, body: Mapping[str, Any], within: float = 70.0) -> Any:
        """Return the answer of `POST path`. Raises UserError."""
        with self._ask(path, within, json.dumps(body).encode()) as response:
            try:
                return json.loads(response.read())
            except (ValueError, OSError, http.client.HTTPException) as exc:
                raise self._strange() from exc

    def lines(self, path: str) -> Iterator[Any]:
        """Yield the lines of a stream that does not end by itself. Raises UserError."""
        with self._ask(path, None) as response:
            try:
                for line in response:
                    if line.strip():
                        yield json.loads(line)
            except (ValueError, OSError, http.client.HTTPException) as exc:
                raise self._strange() from exc

    def text(self, path: str) -> Iterator[str]:
        """Yield an answer that is no JSON, piece by piece. Raises UserError."""
        with self._ask(path, 70.0) as response:
            try:
                while piece := response.read1(65_536):
                    yield piece.decode()
            except (ValueError, OSError, http.client.HTTPException) as exc:
                raise self._strange() from exc

    @contextlib.contextmanager
    def _ask(self, path: str, within: float | None, body: bytes | None = None) -> Iterator[http.client.HTTPResponse]:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=within)
        with contextlib.closing(connection):
            try:
                # Says who asks, and, where something changes, that no web page does (`console.api.auth.BY_HAND`).
                headers = {**self.headers, "X-Relais-By-Hand": quote(read_user())}
                if body is None:
                    connection.request("GET", parts.path + path, headers=headers)
                else:
                    headers["Content-Type"] = "application/json"
                    connection.request("POST", parts.path + path, body, headers=headers)
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as exc:
                raise UserError(
                    f"no console answers at {self.url}",
                    mend="start it: relais up\nor say where it is: RELAIS_CONSOLE_URL=http://HOST:PORT",
                ) from exc
            with response:
                if response.status == 200:
                    yield response
                    return
                said = _parsed(response.read())
        if response.status == 401:
            raise UserError(f"the console at {self.url} wants a token", mend="set RELAIS_CONSOLE_TOKEN")
        if "error" in said:
            raise UserError(f"{said['error']}: {said.get('hint', '')}", status=SAID_NO)
        raise self._strange()

    def _strange(self) -> UserError:
        return UserError(f"what answers at {self.url} is no console of Relais", mend="check RELAIS_CONSOLE_URL")


def read_user() -> str:
    """Return the operating-system user: what the console writes down as the one who decided."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a number that has no name
        return f"uid {os.getuid()}"


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
