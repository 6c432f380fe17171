"""The examples of the language, on the real adapters."""

from pathlib import Path

import pytest

from console import catalogue
from receiver import payload
from rules.action import Action
from rules.compiler import loader
from rules.event import Event
from rules.rulebook import Rulebook
from rules.tools import testing
from tests.rules.writing import event

FOLDER = Path(__file__).parent / "books" / "language"
STARTER = Path(loader.__file__).parents[1] / "book"


@pytest.fixture(scope="module")
def language() -> Rulebook:
    return loader.load(FOLDER, catalogue.build())


def test_check() -> None:
    """The example of the language compiles without error or warning."""
    assert loader.check(FOLDER, catalogue.build()).problems == ()


def test_tests(language: Rulebook) -> None:
    """The example's own tests pass."""
    results = testing.run(language, FOLDER, payload.read_payload)
    assert [result.lines for result in results.failed] == []
    assert len(results.results) == 2


def asked(book: Rulebook, about: Event, **results: object) -> list[str]:
    found = [answer for rule in book.match(about).fired for answer in rule.actions(about, results)]
    return [f"{each.destination}.{each.name}" for each in found if isinstance(each, Action)]


def test_confirmed_booking(language: Rulebook) -> None:
    """A confirmed booking that costs something becomes a customer and an invoice, whose id is written back."""
    booker = {"email": "ada@example.org", "first_name": None, "last_name": "Beispiel"}
    about = event("booking.created", "sd_nord", id=9001, status="confirmed", total=10.0, booker={"id": 1}, lines=LINES)
    assert asked(language, about, booker=booker) == ["crm.upsert_contact", "invoicing.create_invoice"]
    (rule,) = language.match(about).fired
    contact, invoice = rule.actions(about, {"booker": booker})
    assert isinstance(contact, Action)
    assert "first_name" not in contact.arguments
    assert isinstance(invoice, Action)
    assert invoice.arguments["customer"]["name"] == " Beispiel"
    (reference,) = rule.next_actions(about, {"booker": booker}, invoice.path, {"id": "77"})
    assert isinstance(reference, Action)
    assert (reference.destination, reference.once_by) == ("sd_nord_api", "invoice:9001 :77")


LINES = [{"text": "Kurs", "quantity": 1, "unit_price": 10.0, "tax_rate": 0.19}]


@pytest.mark.parametrize("data", [{"total": 0.0}, {"total": 10.0, "status": "pending"}, {"total": None}, {}])
def test_no_invoice(language: Rulebook, data: dict[str, object]) -> None:
    """A booking that is free, not confirmed or without a total makes no invoice."""
    about = event("booking.created", "sd_nord", **{"id": 9001, "status": "confirmed", **data})  # type: ignore[arg-type]
    assert language.match(about).fired == ()


def test_unsubscribed(language: Rulebook) -> None:
    """Unsubscribed means unsubscribed everywhere, unless the platform was only testing."""
    everywhere = ["maileon_main.unsubscribe", "crm.set_consent"]
    assert asked(language, event(email="eva@example.org")) == everywhere
    assert asked(language, event(email="eva@example.org", reason="moved")) == everywhere
    assert asked(language, event(email="eva@example.org", reason="test")) == []


@pytest.mark.parametrize(
    ("received_at", "called"),
    [
        ("2026-01-15T08:00:00.000Z", True),  # Thursday, nine in Berlin
        ("2026-01-15T07:59:59.000Z", False),
        ("2026-07-16T07:30:00.000Z", True),  # in summer Berlin is two hours ahead
        ("2026-01-17T10:00:00.000Z", False),  # Saturday
    ],
)
def test_office_hours(language: Rulebook, received_at: str, called: bool) -> None:
    """Missed callers are called back during context hours of the zone."""
    about = event("call.missed", "shop", caller="+4930123")
    about = Event(**{**{name: getattr(about, name) for name in about.__dataclass_fields__}, "received_at": received_at})
    assert (asked(language, about) == ["crm.add_note"]) is called


def test_starter_book() -> None:
    """The starter book compiles without error or warning, and its tests pass and reach every way through it."""
    checked = loader.check(STARTER, catalogue.build())
    assert checked.problems == ()
    assert checked.book is not None
    results = testing.run(checked.book, STARTER, payload.read_payload)
    assert [(result.test.name, result.lines) for result in results.failed] == []
    assert results.unreached == ()
