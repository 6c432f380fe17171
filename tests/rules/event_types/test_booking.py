from typing import Any

from rules.event_types.booking import Booking, BookingDeleted


def guest(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"seminar_date": {"id": 1, "name": "Yoga"}, "status": "confirmed", "items": list(items), **fields}


def booking(*guests: dict[str, Any], **fields: Any) -> dict[str, Any]:
    told = {"id": 1, "status": "CONFIRMED", "booker": {"id": 4711}, "guests": list(guests), **fields}
    return Booking.model_validate(told).data()


def test_lines() -> None:
    """There is a line for each item: its text or the date's name, its price or the one a person set, its tax rate."""
    found = booking(
        guest(
            {"text": "Kurs", "calculated_price": 240, "tax_rate": {"value": 0.19}},
            {"calculated_price": 100, "actual_price": 0, "quantity": 2},
        )
    )
    assert found["lines"] == [
        {"text": "Kurs", "quantity": 1.0, "unit_price": 240.0, "tax_rate": 0.19},
        {"text": "Yoga", "quantity": 2.0, "unit_price": 0.0, "tax_rate": None},
    ]
    assert found["total"] == 240.0


def test_canceled_items() -> None:
    """Canceled guests and items cost nothing; who stays away without a word pays."""
    found = booking(
        guest({"calculated_price": 1}, {"calculated_price": 10, "status": "CANCELED"}),
        guest({"calculated_price": 100}, status="WAIT_LIST_CANCELED"),
        guest({"calculated_price": 1000}, status="NO_SHOW"),
    )
    assert found["total"] == 1001.0


def test_cents() -> None:
    """Sums of prices are exact."""
    assert booking(*(guest({"calculated_price": 0.1}) for _ in range(3)))["total"] == 0.3


def test_what_the_platform_sends_stays() -> None:
    """Total and lines that the platform sends are not overwritten."""
    found = booking(guest({"calculated_price": 1}), total=5)
    assert found["total"] == 5.0
    assert len(found["lines"]) == 1


def test_deleted() -> None:
    """Nothing is derived where no guests are told."""
    assert BookingDeleted.model_validate({"id": "7"}).data() == {"id": 7}
