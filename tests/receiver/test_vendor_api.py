import pytest

from receiver import vendor_api
from receiver.vendor_api import ApiFailed, VendorAnswer


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "key_refused"),
        (403, "key_refused"),
        (404, "not_found"),
        (422, "refused"),
        (429, "limited"),
        (500, "unavailable"),
        (501, "refused"),
        (302, "refused"),
    ],
)
def test_no_success(status: int, code: str) -> None:
    """Each status that is no success has a code that says who can mend it, and the wait that was asked for."""
    with pytest.raises(ApiFailed) as caught:
        vendor_api.read_json(VendorAnswer(status, b'{"email": "eva@example.org"}', 7.0))
    assert caught.value.code == code
    assert caught.value.wait == (7.0 if status in (429, 500) else 0)
    assert "eva" not in str(caught.value)


def test_answers() -> None:
    """JSON is read; what is none, or is cut, is an error without its text."""
    assert vendor_api.read_json(VendorAnswer(200, b"[1]")) == [1]
    for answer, code in ((VendorAnswer(200, b"<html>"), "bad_answer"), (VendorAnswer(200, b"[", cut=True), "too_long")):
        with pytest.raises(ApiFailed, match=code):
            vendor_api.read_json(answer)


def test_address() -> None:
    """A path and a query stand below the base, encoded."""
    found = vendor_api.build_url("https://api.example.org/", "/calls", {"from": "20260101", "a b": "&"})
    assert found == "https://api.example.org/calls?from=20260101&a+b=%26"
