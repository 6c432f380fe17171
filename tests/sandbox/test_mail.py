import smtplib
import ssl
import sys
from email.message import EmailMessage

import pytest

from sandbox import mail, server
from sandbox.server import Running
from tests.sandbox.conftest import Send, send


@pytest.fixture
def taken(one_sandbox: Running) -> Send:
    """Asks the stand-in for mail."""
    return lambda method, path, **more: send(f"{one_sandbox.url}/mail{path}", method, **more)


def test_takes_mails(one_sandbox: Running, taken: Send) -> None:
    """It says where it listens and by which certificate, wants TLS and a password, and keeps what it takes."""
    told = taken("GET", "/server").json()
    assert taken("GET", "/server").json() == told
    context = ssl.create_default_context(cadata=told["certificate"])
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "relais@example.org", "eva@example.org", "Grüße"
    message.set_content("Bis bald")
    with smtplib.SMTP_SSL("127.0.0.1", told["port"], context=context) as client:
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.send_message(message)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(mail.USER, "wrong")
    with smtplib.SMTP_SSL("127.0.0.1", told["port"], context=context) as client:
        client.login(mail.USER, one_sandbox.world.accounts.mail_password)
        client.send_message(message)
    (kept,) = one_sandbox.world.mail.holds()["messages"]
    assert (kept["to"], kept["subject"], kept["text"]) == ("eva@example.org", "Grüße", "Bis bald\n")
    with pytest.raises(ssl.SSLCertVerificationError):
        smtplib.SMTP_SSL("127.0.0.1", told["port"], context=ssl.create_default_context())
    assert taken("POST", "/server").status == 501
    assert taken("GET", "/inbox").status == 501


@pytest.mark.parametrize("missing", ["aiosmtpd", "openssl"])
def test_what_is_missing(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Without aiosmtpd or openssl the answer says what to install."""
    if missing == "openssl":
        monkeypatch.setenv("PATH", "/nowhere")
    else:
        monkeypatch.setitem(sys.modules, "aiosmtpd.smtp", None)
    with server.in_thread() as one:
        answer = send(f"{one.url}/mail/server")
    assert answer.status == 503
    assert missing in answer.json()["error"]
