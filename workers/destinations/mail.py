"""A plain text mail to one person, through an SMTP server.

Takes the arguments of its one action; returns Done or raises Failed.
Never speaks without TLS and a certificate that was checked, never puts more than one line into a header, and never
quotes what the server said: it may name people.

Facts: RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 8314 (TLS from the start), RFC 4954 (AUTH and its codes), RFC 5322.
"""

import asyncio
import contextlib
import email.policy
import os
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formataddr, localtime
from types import MappingProxyType
from typing import Annotated, Literal
from urllib.parse import urlsplit

import aiosmtplib
from pydantic import AfterValidator, Field, model_validator

from rules import addresses
from rules.catalogue import ActionKind, DestinationKind, StandIn
from rules.secret import Secret
from workers.destinations.base import (
    ActionArguments,
    ActionResult,
    Client,
    DestinationOptions,
    DestinationType,
    Memory,
    Reveal,
    Text,
    Visit,
    dig,
    fail_unresolved,
    list_names,
)
from workers.http import HiddenHeaders, Http, is_private
from workers.http_connection import PrivateAddress
from workers.outcome import Done, Failed, Failure

#: Codes that say that our name or password is at fault, or that there must be one.
CREDENTIAL = frozenset({530, 534, 535, 538})

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def _to_one_line(text: str) -> str:
    """Return a text without line ends and control characters: a header has one line."""
    return _CONTROL.sub(" ", text).strip()


AsciiEmail = Annotated[str, AfterValidator(addresses.ascii_key)]
OneLine = Annotated[Text, AfterValidator(_to_one_line)]


class MailOptions(DestinationOptions):
    """What ops may write under a destination of kind `mail`."""

    host: str = Field(pattern=r"^[A-Za-z0-9.:-]+$", description="The SMTP server, by the name of its certificate.")
    port: int = Field(default=587, ge=1, le=65535, description="587 for STARTTLS, 465 for TLS from the start.")
    tls: Literal["starttls", "tls"] = Field(default="starttls", description="tls: from the start. Never without.")
    ca_file: str | None = Field(
        default=None, description="PEM file with the authority of the server; else the system's."
    )
    user: Secret | None = Field(default=None, description="Name to log in with, where the server asks for one.")
    #: The password of `user`, as a reference.
    password: Secret | None = None
    sender: AsciiEmail = Field(description="From whom mails come.")
    sender_name: OneLine = Field(default="", description="The name before it.")
    on_doubt: Literal["hold", "send"] = Field(
        default="hold", description="Where a mail may have been taken: hold it for a person, or send it once more."
    )

    @model_validator(mode="after")
    def _has_both(self) -> "MailOptions":
        if (self.user is None) != (self.password is None):
            raise ValueError("needs user and password, or neither")
        return self


class SendMail(ActionArguments):
    """Send a mail."""

    to: AsciiEmail = Field(description="Who gets it: one address.")
    subject: OneLine = Field(min_length=1, max_length=500, description="One line; line ends become blanks.")
    body: Text = Field(description="Plain text.")
    reply_to: AsciiEmail | None = Field(default=None, description="Where answers go, if not to the sender.")


class MailDone(ActionResult):
    """What `next:` may read."""

    message_id: str = Field(description="Message-ID of the mail.")


KIND = DestinationKind(
    name="mail",
    about="Plain text mails through an SMTP server.",
    options=MailOptions,
    stand_in=StandIn(
        {
            "host": "sandbox",
            "tls": "tls",
            # Where the sandbox says at which port its mail server listens, and by which certificate it is known.
            "ca_file": "{sandbox}/mail/server",
            "user": "relais",
            "password": "${SANDBOX_MAIL_PASSWORD}",
            "sender": "relais@example.org",
        },
        frozenset({"sender", "sender_name", "on_doubt"}),
    ),
    actions={
        "send": ActionKind(
            name="send",
            about="Send a plain text mail to one address.",
            arguments=SendMail,
            touches=lambda arguments: list_names(("email", arguments.to)),
            touches_about="to",
            once_by=None,
            once_by_about="delivery",
            result=MailDone,
            creates=True,
        ).adopt("held", rights="an account that may send as `sender`", limits="those of the server")
    },
)


class MailClient(Client[MailOptions]):
    """Carries out the action of kind `mail`."""

    def __init__(self, name: str, options: MailOptions, reveal: Reveal, http: Http, memory: Memory) -> None:
        super().__init__(name, options, reveal, http, memory)
        user = "" if options.user is None else reveal(options.user)
        password = "" if options.password is None else reveal(options.password)
        #: Their repr shows no value.
        self._login = HiddenHeaders(user=user, password=password)

    async def _send(self, visit: Visit, arguments: SendMail) -> Done:
        message = self._write(arguments, visit.delivery.id)
        if visit.delivery.doubtful and self._options.on_doubt == "hold":
            raise fail_unresolved(f"the mail may have been taken; look for {message['Message-ID']} in the server's log")
        talk = _Talk()
        try:
            server = await self._find_server(visit)
            visit.exchange.sent += 1
            async with asyncio.timeout(self._http.timeout):
                await self._talk(talk, server, message, arguments.to)
            return Done(result={"message_id": str(message["Message-ID"])}, status=250)
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as exc:
            failed = explain(exc, in_data=talk.in_data)
        finally:
            await talk.close()
        # Raised outside the handler: the exceptions quote the server, and the server quotes the person.
        raise failed

    async def _find_server(self, visit: Visit) -> "SmtpServer":
        """Return the server of the book; in a sandbox its stand-in, whatever stands in the book."""
        options = self._options
        sandbox = os.environ.get("RELAIS_SANDBOX", "").rstrip("/")
        if not sandbox:
            return SmtpServer(options.host, options.port, ssl.create_default_context(cafile=options.ca_file))
        if not (options.ca_file or "").startswith(f"{sandbox}/"):
            raise Failed("permanent", "outside_sandbox", hint="this is a sandbox, and mail servers lie outside of it")
        answer = await visit.exchange.request("GET", options.ca_file or "")
        port, certificate = (dig(answer.json(), name) for name in ("port", "certificate"))
        if not isinstance(port, int) or not isinstance(certificate, str):
            hint = str(dig(answer.json(), "error") or "the sandbox has no mail server")
            raise Failed("permanent", "no_stand_in", status=answer.status, hint=hint)
        return SmtpServer(urlsplit(sandbox).hostname or "", port, ssl.create_default_context(cadata=certificate))

    async def _talk(self, talk: "_Talk", server: "SmtpServer", message: EmailMessage, to: str) -> None:
        options = self._options
        talk.socket = await connect(server.host, server.port, allow_private=self._http.allow_private)
        talk.smtp = smtp = SmtpConnection(
            hostname=server.host,
            sock=talk.socket,
            local_hostname=options.sender.rpartition("@")[2],
            use_tls=options.tls == "tls",
            start_tls=options.tls == "starttls",
            tls_context=server.context,
            timeout=self._http.timeout,
        )
        await smtp.connect()
        if self._login["user"]:
            await smtp.login(self._login["user"], self._login["password"])
        await smtp.mail(options.sender)
        await smtp.rcpt(to)
        talk.in_data = True
        await smtp.data(message.as_bytes(policy=email.policy.SMTP))
        with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            await smtp.quit(timeout=1)  # It is taken, whatever comes now.

    def _write(self, arguments: SendMail, id: str) -> EmailMessage:
        """Return the mail. Its Message-ID is that of the delivery, so that a repetition can be recognised."""
        sender = self._options.sender
        message = EmailMessage(policy=email.policy.SMTP)
        message["From"] = formataddr((self._options.sender_name, sender))
        message["To"] = arguments.to
        message["Subject"] = arguments.subject
        message["Date"] = localtime()
        message["Message-ID"] = f"<{id}@{sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        if arguments.reply_to is not None:
            message["Reply-To"] = arguments.reply_to
        message.set_content(arguments.body, cte="quoted-printable")
        return message

    methods = MappingProxyType({"send": _send})


DESTINATION = DestinationType(KIND, MailClient)


@dataclass(frozen=True)
class SmtpServer:
    """Where mails are taken, and whom we trust there."""

    host: str
    port: int
    context: ssl.SSLContext


class SmtpConnection(aiosmtplib.SMTP):
    """A connection that ends at once, also after a mail was taken.

    To part politely, as TLS does it, waits for a server that may be gone, and longer than the loop that waits may last.
    """

    def close(self) -> None:
        """End it."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()
        super().close()


class _Talk:
    """What one conversation with a server leaves behind."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.smtp: SmtpConnection | None = None
        #: True: the mail itself is on its way, and nobody but the server knows whether it is taken.
        self.in_data = False

    async def close(self) -> None:
        """End it at once."""
        if self.smtp is not None:
            self.smtp.close()
            await asyncio.sleep(0)  # The loop parts from the socket before it is closed.
        if self.socket is not None:
            self.socket.close()


async def connect(host: str, port: int, *, allow_private: bool) -> socket.socket:
    """Return a socket to the first address of a host that takes it. Raises OSError, PrivateAddress among them."""
    loop = asyncio.get_running_loop()
    error: OSError = OSError("no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not allow_private and is_private(str(address[0])):
            error = PrivateAddress("private address")
            continue
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
            return sock
        except OSError as exc:
            error = exc
            sock.close()
        except BaseException:
            sock.close()
            raise
    raise error


def explain(exc: BaseException, *, in_data: bool) -> Failed:
    """Return what became of a mail that was not taken, or of which that is not known."""
    if isinstance(exc, aiosmtplib.SMTPRecipientsRefused):
        exc = exc.recipients[0]
    if isinstance(exc, aiosmtplib.SMTPResponseException) and 400 <= exc.code < 600:
        return _explain_code(exc.code)
    code, hint = _name_failure(exc)
    if code in ("no_starttls", "no_auth"):
        return Failed("credential", code, hint=hint)
    return Failed("ambiguous" if in_data else "transient", code, hint=hint)


def _explain_code(code: int) -> Failed:
    failure: Failure = "credential" if code in CREDENTIAL else "permanent" if code >= 500 else "transient"
    told = {
        "credential": ("unauthorised", "the server refuses user or password, or asks for one"),
        "permanent": ("refused", "the server refuses the mail for good: its address, or what it says"),
        "transient": ("unavailable", "the server does not take the mail now"),
    }
    return Failed(failure, told[failure][0], status=code, hint=told[failure][1])


def _name_failure(exc: BaseException) -> tuple[str, str]:
    causes = list(_list_causes(exc))
    for each in causes:
        match each:
            case PrivateAddress():
                return "private_address", "the server is inside our own network; if that is meant: allow_private: true"
            case socket.gaierror(errno=socket.EAI_AGAIN):
                return "dns_failed", "the name of the server could not be resolved now"
            case socket.gaierror():
                return "unknown_host", "the name of the server could not be resolved"
            case ssl.SSLCertVerificationError():
                return "bad_certificate", "the certificate of the server is not to be trusted"
            case ssl.SSLError():
                return "tls_failed", "no secure connection to the server could be made"
            case ConnectionRefusedError():
                return "refused", "nobody listens at the address of the server"
    text = str(exc) if isinstance(exc, aiosmtplib.SMTPException) else ""
    if "STARTTLS extension not supported" in text:
        return "no_starttls", "the server offers no STARTTLS, and without TLS nothing is sent; tls: tls is port 465"
    if "AUTH extension" in text or "authentication method" in text:
        return "no_auth", "the server offers no way to log in that we know"
    if isinstance(exc, TimeoutError):
        return "timeout", "the server did not answer in time"
    if isinstance(exc, ConnectionError):
        return "reset", "the server broke the connection off"
    return "broken", f"the conversation with the server failed ({exc.__class__.__name__})"


def _list_causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__
