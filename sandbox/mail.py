"""A mail server: SMTP with TLS from the start (RFC 8314) and AUTH, by aiosmtpd.

Comes in: `GET /mail/server`, which starts it and says at which port it listens and by which certificate it is known;
then mails. Goes out: the mails that were taken, as `/_sandbox/state/mail` shows them; nothing is sent on. Needs
aiosmtpd, which Relais itself does not, and the program openssl: without one of them the answer is 503 with the mend.
"""

import asyncio
import ipaddress
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox import fallback
from sandbox.accounts import Accounts
from sandbox.calls import VendorCall

USER = "relais"
NO_AIOSMTPD = "the stand-in for mail needs aiosmtpd: pip install aiosmtpd beside Relais, and start the sandbox again"
NO_OPENSSL = "the stand-in for mail needs the program openssl, which makes its certificate: install it"


class MailServer:
    """The server, and what it has taken."""

    name = "mail"
    prefix = "/mail"

    def __init__(self, accounts: Accounts) -> None:
        self._password = accounts.mail_password
        self._starting = asyncio.Lock()
        self._server: asyncio.Server | None = None
        #: Of the server that listens: port and certificate.
        self._told: Mapping[str, Any] = {}
        self.messages: list[dict[str, Any]] = []

    def reset(self) -> None:
        """Forget all mails; the server goes on."""
        self.messages = []

    def tell(self, settings: Mapping[str, Any]) -> None:
        """Take no setting. Raises ValueError."""
        raise ValueError(f"mail has no setting {', '.join(sorted(settings))}")

    def holds(self) -> Mapping[str, Any]:
        """Return the mails."""
        return {"messages": list(self.messages)}

    def object_of(self, call: VendorCall) -> str | None:
        """Return nothing: mails do not come by HTTP."""
        return None

    def error(self, status: int, text: str) -> Response:
        """Return an error."""
        return JSONResponse({"error": text}, status)

    def app(self) -> ASGIApp:
        """Return what says where the server is."""
        return Starlette(
            routes=[
                Route("/server", self._say_where, methods=["GET"]),
                fallback.build_route(self),
            ]
        )

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _say_where(self, request: Request) -> Response:
        async with self._starting:
            if self._server is None:
                try:
                    await self._start(request.scope["server"][0], request.url.hostname or "localhost")
                except ImportError:
                    return self.error(503, NO_AIOSMTPD)
                except FileNotFoundError:
                    return self.error(503, NO_OPENSSL)
        return JSONResponse(self._told)

    async def _start(self, host: str, called: str) -> None:
        """Listen at the address where the sandbox does, by the name by which it was called.

        Raises ImportError, FileNotFoundError.
        """
        make_protocol = make_smtp(self, self._password)
        certificate, context = await asyncio.to_thread(make_certificate, called)
        self._server = await asyncio.get_running_loop().create_server(make_protocol, host, 0, ssl=context)
        self._told = {"port": self._server.sockets[0].getsockname()[1], "certificate": certificate}

    async def handle_MAIL(  # noqa: N802 (aiosmtpd's name)
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Take a sender who has logged in."""
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        """Take a mail."""
        mail = message_from_bytes(envelope.original_content, policy=policy.default)
        told = {name: str(mail[header] or "") for name, header in HEADERS.items()}
        text = mail.get_body(("plain",))
        content = "" if text is None else text.get_content()
        self.messages.append({**told, "text": content.replace("\r\n", "\n")})
        return "250 OK"


HEADERS: Mapping[str, str] = {"from": "From", "to": "To", "subject": "Subject", "message_id": "Message-ID"}


def make_smtp(server: MailServer, password: str) -> Callable[[], asyncio.Protocol]:
    """Return what makes the other end of a connection. Raises ImportError."""
    from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, login: Any) -> AuthResult:
        right = isinstance(login, LoginPassword) and (login.login, login.password) == (USER.encode(), password.encode())
        return AuthResult(success=right, handled=False)

    # It is TLS already, which aiosmtpd does not see.
    return lambda: SMTP(server, hostname="sandbox", authenticator=authenticate, auth_require_tls=False)


def make_certificate(host: str) -> tuple[str, ssl.SSLContext]:
    """Return a certificate that vouches for itself, and the server's half of it. Raises FileNotFoundError."""
    try:
        name = f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        name = f"DNS:{host}"
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = str(Path(folder) / "key.pem"), str(Path(folder) / "certificate.pem")
        make_key = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        names = ("-days", "30", "-subj", "/CN=sandbox", "-addext", f"subjectAltName={name}")
        command = [*make_key, *names, "-keyout", key, "-out", certificate]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 (no shell; the name is that of a host)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        return Path(certificate).read_text(encoding="ascii"), context
