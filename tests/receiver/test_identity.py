import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import identity


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("+49 30 123456", "phone:+4930123456"),
        ("+49 (0)30 123456", "phone:+4930123456"),
        ("0049 30/12 34-56", "phone:+4930123456"),
        ("030 123456", "phone:030123456"),
        ("unbekannt", None),
        ("", None),
        ("+", None),
    ],
)
def test_phone(number: str, expected: str | None) -> None:
    """A telephone number has one spelling, however people part it."""
    assert identity.phone(number) == expected


def test_email() -> None:
    """An address has one spelling."""
    assert identity.email(" Eva@Example.ORG ") == "email:eva@example.org"


def test_same_message_same_id() -> None:
    """The same message of a sender has the same id; another source, message or position another one."""
    first = identity.event_id("sd_nord", "9c74", 0)
    assert identity.event_id("sd_nord", "9c74", 0) == first
    others = {identity.event_id(*of) for of in (("sd_sued", "9c74", 0), ("sd_nord", "9c75", 0), ("sd_nord", "9c74", 1))}
    assert len(others) == 3
    assert first not in others


def test_parts_do_not_run_together() -> None:
    """Source and message id are parted, so that no two pairs give one id."""
    assert identity.event_id("a", "b\x001", 0) != identity.event_id("a", "b", 10)
    assert identity.event_id("ab", "c", 0) != identity.event_id("a", "bc", 0)


def test_without_message_id() -> None:
    """Without a sender's id each event has an id of its own."""
    assert len({identity.event_id("at", None, 0) for _ in range(50)}) == 50


@given(st.text(), st.text(), st.integers(0, 10_000))
def test_is_base32(source: str, sender_id: str, position: int) -> None:
    """The id is base32 of the hash, as the standard library writes it, cut to 26 characters."""
    told = f"{source}\0{sender_id}\0{position}".encode("utf-8", "surrogatepass")
    standard = base64.b32encode(hashlib.blake2b(told, digest_size=17).digest()).decode().lower()[:26]
    assert identity.event_id(source, sender_id, position) == standard
