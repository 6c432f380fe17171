import base64
import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import identity


@pytest.mark.parametrize(
    ("number", "country", "expected"),
    [
        ("+49 30 123456", None, "phone:+4930123456"),
        ("+49 (0)30 123456", None, "phone:+4930123456"),
        ("0049 30/12 34-56", "DE", "phone:+4930123456"),
        ("030 123456", "DE", "phone:+4930123456"),
        ("030 123456", None, None),
        ("unbekannt", "DE", None),
        ("", None, None),
        ("+", None, None),
    ],
)
def test_phone(number: str, country: str | None, expected: str | None) -> None:
    """A telephone number has one spelling, however people part it; without a country it is nobody's."""
    assert identity.phone(number, country) == expected


def test_email() -> None:
    """An address has one spelling; what is none is no identity."""
    assert identity.email(" Eva@Example.ORG ") == "email:eva@example.org"
    assert identity.email("eva") is None
    assert identity.email("Eva@example.org", clean=True) == "email:eva@example.org"


def test_plain_addresses_keep_their_identity() -> None:
    """What was plain and in lower case already is hashed as ever: no box is named anew by an upgrade."""
    for address in ("eva@example.org", "eva.muster+kurs@mail.example.org", "o'neil@localhost", "0815@example.org"):
        assert identity.email(address) == f"email:{address}"
    assert identity.phone("+4930123456") == "phone:+4930123456"


def test_same_message_same_id() -> None:
    """The same message of a sender has the same id; another source, message or item has another base."""
    first = identity.event_id("sd_nord", "9c74", "booking", b"{}")
    assert identity.event_id("sd_nord", "9c74", "booking", b"{}") == first
    others = (("sd_sued", "9c74", "booking"), ("sd_nord", "9c75", "booking"), ("sd_nord", "9c74", "profile"))
    bases = {identity.event_id(*of, b"{}")[:16] for of in others}
    assert len(bases) == 3
    assert first[:16] not in bases


def test_content() -> None:
    """Other content of the same message has the same base and another end; other messages' ends tell nothing of it."""
    one, other = (identity.event_id("shop", "m1", "", body) for body in (b'{"a":1}', b'{"a":2}'))
    assert one[:16] == other[:16]
    assert one[16:] != other[16:]
    assert identity.event_id("shop", "m2", "", b'{"a":1}')[16:] != one[16:]
    assert len({identity.event_id("shop", "m" * 300 + end, "", b"{}")[16:] for end in "ab"}) == 2


def test_parts_do_not_run_together() -> None:
    """Source and message id are parted, so that no two pairs give one id."""
    assert identity.event_id("a", "b\x001", "", b"") != identity.event_id("a", "b", "1", b"")
    assert identity.event_id("a", "b", "c", b"")[:16] != identity.event_id("a", "bc", "", b"")[:16]
    assert identity.event_id("ab", "c", "", b"") != identity.event_id("a", "bc", "", b"")


def test_without_message_id() -> None:
    """Without a sender's id each event has an id of its own."""
    assert len({identity.random_id() for _ in range(500)}) == 500


def test_forked_process() -> None:
    """A process that is forked makes ids of its own: those that were made ahead are its parent's."""
    identity.random_id()
    ours, theirs = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(theirs, identity.random_id().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    its = os.read(ours, 100).decode()
    os.close(ours)
    os.close(theirs)
    assert len(its) == 26
    assert its not in {identity.random_id() for _ in range(100)}


@given(st.text(), st.text(max_size=80), st.text(), st.binary())
def test_is_base32(source: str, sender_id: str, item: str, content: bytes) -> None:
    """The id is base32 of two hashes, as the standard library writes it, cut to 26 characters."""
    sender = sender_id.encode("utf-8", "surrogatepass")
    told = b"\0".join([source.encode("utf-8", "surrogatepass"), str(len(sender)).encode(), sender])
    whole = hashlib.blake2b(told + item.encode("utf-8", "surrogatepass"), digest_size=10).digest()
    key = sender if len(sender) <= 64 else hashlib.blake2b(sender).digest()
    whole += hashlib.blake2b(content, digest_size=7, key=key).digest()
    assert identity.event_id(source, sender_id, item, content) == base64.b32encode(whole).decode().lower()[:26]
