from pathlib import Path

import pytest

from receiver import errors
from receiver.payload import read_payload
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
