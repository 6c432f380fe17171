import asyncio
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from pydantic import ValidationError

from sandbox.server import Running
from tests.conftest import wait_until
from tests.workers.destinations.conftest import Desk
from workers.destinations import mail
from workers.http_connection import PrivateAddress
from workers.outcome import Failed

MAIL = {"to": "eva@example.org", "subject": "Grüße", "body": "Liebe Eva,\n.\nbis bald: 7 €"}


class Mailbox:
    """What a server took, and what it is to do with the next mail."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.rcpt = ""
        self.data = ""
        self.ca = ""
        self.port = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        """Take a recipient, or answer as told."""
        if self.rcpt:
            return self.rcpt
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Take a mail, refuse it as told, or take it and break off."""
        if self.data == "drop":
            self.taken.append(envelope.original_content)
            server.transport.abort()
            return "250 never heard"
        if self.data:
            return self.data
        self.taken.append(envelope.original_content)
        return "250 OK"


class SmtpController(Controller):
    """A server that ends when everybody has hung up: it closes its loop, and no connection that is left in it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.connections: list[SMTP] = []

    def factory(self) -> SMTP:
        """Return what speaks with one client."""
        made: SMTP = super().factory()  # type: ignore[no-untyped-call]
        self.connections.append(made)
        return made

    def stop(self, no_assert: bool = False) -> None:
        """Wait for the end of all connections, then stop."""
        wait_until(lambda: all(each.transport is None for each in self.connections), "everybody has hung up")
        super().stop(no_assert)


def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, login: Any) -> AuthResult:
    right = isinstance(login, LoginPassword) and (login.login, login.password) == (b"relais", b"s3cret")
    return AuthResult(success=right, handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate of 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    make_key = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    names = ("-days", "1", "-subj", "/CN=mail.example.org", "-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run([*make_key, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


Serve = Callable[..., Mailbox]


@pytest.fixture
def serve(certificate: tuple[str, str]) -> Iterator[Serve]:
    """Starts real SMTP servers on loopback."""
    running: list[SmtpController] = []

    def start(**options: Any) -> Mailbox:
        box = Mailbox()
        with socket.create_server(("127.0.0.1", 0)) as free:
            box.port = free.getsockname()[1]
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
        given: dict[str, Any] = {"tls_context": context, "require_starttls": True} | options
        controller = SmtpController(box, hostname="127.0.0.1", port=box.port, authenticator=authenticate, **given)
        controller.start()
        running.append(controller)
        box.ca = certificate[0]
        return box

    yield start
    for each in running:
        each.stop()


def make(box: Mailbox, **options: Any) -> Desk:
    """Return a destination that sends to a server."""
    told = {"host": "127.0.0.1", "port": box.port, "ca_file": box.ca, "sender": "relais@example.org"}
    return Desk("mail", told | options)


def test_mail(serve: Serve) -> None:
    """A mail comes as it was written, with an id that is the delivery's."""
    box = serve()
    desk = make(box, sender_name="Relais, Nord")
    done = desk.deliver("send", MAIL | {"reply_to": "buero@example.org"}, id="EVENT.0")
    (raw,) = box.taken
    message = message_from_bytes(raw, policy=policy.default)
    assert (message["From"], message["To"]) == ('"Relais, Nord" <relais@example.org>', "eva@example.org")
    assert (message["Subject"], message["Reply-To"]) == ("Grüße", "buero@example.org")
    assert message["Message-ID"] == "<EVENT.0@example.org>" == done.result["message_id"]
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().replace("\r\n", "\n") == MAIL["body"] + "\n"
    assert raw.isascii()


def test_login(serve: Serve) -> None:
    """Where the server asks for a name, a right password sends, a wrong one and none pause the destination."""
    box = serve(auth_required=True)
    make(box, user="relais", password="s3cret").deliver("send", MAIL)
    wrong = make(box, user="relais", password="wr0ng").fail("send", MAIL)
    nobody = make(box).fail("send", MAIL)
    for failed in (wrong, nobody):
        assert (failed.failure, failed.code) == ("credential", "unauthorised")
    assert (wrong.status, nobody.status) == (535, 530)
    assert len(box.taken) == 1


@pytest.mark.parametrize(
    ("step", "answer", "failure", "status"),
    [
        ("rcpt", "550 no such user", "permanent", 550),
        ("rcpt", "451 grey", "transient", 451),
        ("data", "451 later", "transient", 451),
        ("data", "554 spam", "permanent", 554),
    ],
)
def test_codes(serve: Serve, step: str, answer: str, failure: str, status: int) -> None:
    """4xx is tried again, 5xx is final, whenever it is said; it is known that nothing was taken."""
    box = serve()
    setattr(box, step, answer)
    failed = make(box).fail("send", MAIL)
    assert (failed.failure, failed.status) == (failure, status)
    assert box.taken == []


def test_doubt_is_held(serve: Serve) -> None:
    """A connection that breaks after the mail leaves a doubt, and a person decides; the id says what to look for."""
    box = serve()
    box.data = "drop"
    assert make(box).fail("send", MAIL, id="EVENT.0").failure == "ambiguous"
    failed = make(box).fail("send", MAIL, id="EVENT.0", attempt=2)
    assert (failed.failure, failed.code) == ("ambiguous", "unresolved")
    assert "<EVENT.0@example.org>" in failed.hint
    assert len(box.taken) == 1


def test_doubt_is_sent_again(serve: Serve) -> None:
    """Where the book says so a mail in doubt is sent once more, under the same id."""
    box = serve()
    box.data = "drop"
    desk = make(box, on_doubt="send")
    assert desk.fail("send", MAIL).failure == "ambiguous"
    box.data = ""
    desk.deliver("send", MAIL, attempt=2)
    ids = [message_from_bytes(raw)["Message-ID"] for raw in box.taken]
    assert ids == ["<d1@example.org>"] * 2


def test_no_starttls(serve: Serve) -> None:
    """A server without STARTTLS gets neither password nor mail."""
    box = serve(tls_context=None, require_starttls=False)
    failed = make(box).fail("send", MAIL)
    assert (failed.failure, failed.code) == ("credential", "no_starttls")
    assert box.taken == []


def test_certificate_is_checked(serve: Serve) -> None:
    """A certificate that nobody vouches for is refused, by STARTTLS as well as from the start."""
    box = serve()
    for tls in ("starttls", "tls"):
        failed = make(box, ca_file=None, tls=tls).fail("send", MAIL)
        assert failed.failure == "transient"
        assert failed.code in ("bad_certificate", "tls_failed")
    assert make(box, ca_file=None).fail("send", MAIL).code == "bad_certificate"
    assert box.taken == []


def test_tls_from_the_start(serve: Serve, certificate: tuple[str, str]) -> None:
    """Port 465 speaks TLS at once."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    box = serve(tls_context=None, require_starttls=False, ssl_context=context)
    make(box, tls="tls").deliver("send", MAIL)
    assert len(box.taken) == 1


def test_nobody_there(serve: Serve) -> None:
    """Nobody listens: it is tried again, and nothing is in doubt."""
    box = serve()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    failed = make(box, port=port).fail("send", MAIL)
    assert (failed.failure, failed.code) == ("transient", "refused")


def test_silence(serve: Serve) -> None:
    """A server that says nothing ends by the time-out, before anything was sent."""
    box = serve()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        failed = make(box, port=silent.getsockname()[1]).fail("send", MAIL, timeout=0.3)
    assert (failed.failure, failed.code) == ("transient", "timeout")


def test_private_address_is_refused(serve: Serve) -> None:
    """An address of our own network is not connected to unless the book allows it."""
    box = serve()
    with pytest.raises(PrivateAddress):
        asyncio.run(mail.connect("127.0.0.1", box.port, allow_private=False))
    failed = mail.explain(PrivateAddress("x"), in_data=False)
    assert (failed.failure, failed.code) == ("transient", "private_address")


def test_no_injection(serve: Serve) -> None:
    """A line end in a subject is a blank; in an address it is refused."""
    box = serve()
    desk = make(box)
    desk.deliver("send", MAIL | {"subject": "Hello\r\nBcc: all@example.org\x00\u2028x"})
    message = message_from_bytes(box.taken[0], policy=policy.default)
    assert message["Subject"] == "Hello Bcc: all@example.org x"
    assert message["Bcc"] is None
    for name, wrong in (("to", "eva@example.org\r\nRCPT TO:<x@example.org>"), ("reply_to", "a@b.org\nBcc: x@b.org")):
        with pytest.raises(ValidationError):
            desk.deliver("send", MAIL | {name: wrong})


def test_nothing_is_told(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Neither password nor person stands in an error, a repr or a log."""
    caplog.set_level("DEBUG")
    box = serve(auth_required=True)
    box.rcpt = "550 eva@example.org is unknown"
    desk = make(box, user="relais", password="s3cret")
    failed: Failed = desk.fail("send", MAIL)
    logged = "\n".join(each.getMessage() for each in caplog.records if each.name.startswith(("relais", "workers")))
    said = f"{failed!r} {failed.hint} {failed.__context__!r} {desk.options!r} {vars(desk.client)!r} {logged}"
    assert "s3cret" not in said
    assert "eva@example.org" not in said


def test_sandbox(serve: Serve, sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sandbox a mail goes to its mail server, with a certificate that is checked, and to no other one."""
    monkeypatch.setitem(os.environ, "RELAIS_SANDBOX", sandbox.url)
    box = serve()
    assert make(box).fail("send", MAIL).code == "outside_sandbox"
    assert box.taken == []
    stand_in = mail.KIND.stand_in
    assert stand_in is not None
    told = {
        name: value.replace("{sandbox}", sandbox.url).replace(
            "${SANDBOX_MAIL_PASSWORD}", sandbox.world.accounts.mail_password
        )
        for name, value in stand_in.options.items()
    }
    desk = Desk("mail", told | {"sender": "haus@example.org"})
    done = desk.deliver("send", MAIL, id="EVENT.0")
    (taken,) = sandbox.world.mail.holds()["messages"]
    assert (taken["from"], taken["to"], taken["subject"]) == ("haus@example.org", "eva@example.org", "Grüße")
    assert taken["message_id"] == done.result["message_id"]
    monkeypatch.setitem(sys.modules, "aiosmtpd.smtp", None)
    failed = Desk("mail", told | {"ca_file": f"{sandbox.url}/of/other/mail/server"}).fail("send", MAIL)
    assert (failed.failure, failed.code) == ("permanent", "no_stand_in")
    assert "pip install aiosmtpd" in failed.hint


def test_missing_authority(serve: Serve) -> None:
    """A file of an authority that is not there is said, and nothing is in doubt."""
    assert make(serve(), ca_file="/nowhere/ca.pem").fail("send", MAIL).failure == "transient"


@pytest.mark.parametrize(
    "options",
    [{"user": "a"}, {"password": "b"}, {"tls": "none"}, {"host": "a b"}, {"sender": "nobody"}, {"port": 0}],
)
def test_options_refused(options: dict[str, Any], tmp_path: Path) -> None:
    """Options that cannot work, and mail without TLS, are refused when the book is checked."""
    with pytest.raises(ValidationError):
        Desk("mail", {"host": "mail.example.org", "sender": "relais@example.org"} | options)
