import pytest

from console import people

READINGS = {
    "Eva@Example.org ": ["email:eva@example.org", "sender:Eva@Example.org"],
    "Eva@Bücher.example": [
        *("email:eva@xn--bcher-kva.example", "email:eva@bücher.example"),  # and as versions before 0.2.0 spelt it
        "sender:Eva@Bücher.example",
    ],
    "+49 30 123456": ["phone:+4930123456", "sender:+49 30 123456"],
    "seminardesk:profile:4711": ["seminardesk:profile:4711", "sender:seminardesk:profile:4711"],
    "evt_1": ["sender:evt_1"],
}


@pytest.mark.parametrize("text", READINGS)
def test_read(text: str) -> None:
    """A text is read in every way that makes sense, in the spelling of the receiver; no value stands in its repr."""
    found = people.read(text)
    assert [reading.identity for reading in found] == READINGS[text]
    assert text.strip() not in repr(found)
