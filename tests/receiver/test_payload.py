from dataclasses import replace
from pathlib import Path

import pytest

from receiver import errors
from receiver.payload import read_kept, read_payload
from receiver.sources.generic import GenericOptions
from tests.receiver import book, fixtures


def test_as_a_webhook_would(tmp_path: Path) -> None:
    """A payload gives the events, with data, that the webhook would give: JSON values, JSON bytes and forms."""
    cmx = book.holder(tmp_path).entry("cmx").source
    values = read_payload(cmx, {"E-Mailadresse": "eva@example.org", "Einzelnutzertracking": "ja"})[0]
    assert (values.source, values.kind, values.type) == ("cmx", "cmxorganize", "newsletter.signup")
    assert values.data == {"email": "eva@example.org", "single_user_tracking": True}
    form = (fixtures.FOLDER / "cmxorganize/signup.german.form").read_bytes()
    json = (fixtures.FOLDER / "cmxorganize/signup.german.json").read_bytes()
    assert read_payload(cmx, form)[0].data == read_payload(cmx, json)[0].data


def test_event_of_the_url(tmp_path: Path) -> None:
    """Where the URL tells the event, its name is given along."""
    at = book.holder(tmp_path).entry("at").source
    assert read_payload(at, {"email": "eva@example.org"}, "unsubscribed")[0].type == "contact.unsubscribed"
    with pytest.raises(errors.NotFound, match="missing_event"):
        read_payload(at, {"email": "eva@example.org"})


def test_retain(tmp_path: Path) -> None:
    """An event lives as long after its settling as its source says."""
    shop = book.holder(tmp_path).entry("shop").source
    assert read_payload(shop, {"event": "order.paid"})[0].retain == 7 * 86_400_000


def test_what_would_be_quarantined(tmp_path: Path) -> None:
    """A payload that does not fit, or that no webhook would bring, fails a test instead of passing it."""
    gates = book.holder(tmp_path)
    with pytest.raises(errors.Invalid) as caught:
        read_payload(gates.entry("cmx").source, {"Name": "Muster"})
    assert caught.value.field == "email"
    notification = {"id": "1", "notifications": [{"action": "all.delete", "payload": {}}]}
    with pytest.raises(errors.Invalid, match="invalid"):
        read_payload(gates.entry("sd_nord").source, notification)


def test_kept_without_its_envelope(tmp_path: Path) -> None:
    """What was kept of an event without its envelope gives the same event again: its head says what stood around it."""
    options = GenericOptions.model_validate(
        {
            "data": "body.data",
            "read": {"type": "body.type", "id": "body.id", "subject": "body.about", "order_key": "body.data.nr"},
        }
    )
    source = replace(book.holder(tmp_path).entry("shop").source, options=options)
    sent = {"id": "m1", "type": "order.paid", "about": "orders/7", "data": {"nr": 7, "total": 1.5}}
    [event] = read_payload(source, sent)
    head = {"kind": "generic", "type": event.type, "at": event.received_at, "sender": "m1", "subject": event.subject}
    again, comes_as = read_kept(source, event.id, head, event.body)
    assert again == event
    assert (again.data, again.order_key, comes_as) == ({"nr": 7, "total": 1.5}, "id:7", event.id)


MULTIPART = b'--x\r\nContent-Disposition: form-data; name="event"\r\n\r\norder.paid\r\n--x--\r\n'


@pytest.mark.parametrize("body", [b'\n {"event": "order.paid"}', b"event=order.paid&number=7", MULTIPART])
def test_fixtures_without_a_label(body: bytes, tmp_path: Path) -> None:
    """A fixture has no Content-Type: what it is, it is by how it begins."""
    [event] = read_payload(book.holder(tmp_path).entry("shop").source, body)
    assert event.type == "order.paid"


@pytest.mark.parametrize("body", [b'// a comment\n{"event": "order.paid"}', b"event: order.paid\n"])
def test_fixtures_of_another_kind(body: bytes, tmp_path: Path) -> None:
    """A fixture that is neither JSON nor a form is told what is wrong with it as JSON, in full."""
    with pytest.raises(errors.NotParseable, match="bad_json: the body is not valid JSON: Expecting value"):
        read_payload(book.holder(tmp_path).entry("shop").source, body)
