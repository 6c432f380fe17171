"""Keyed hashes say nothing about a person and never mix up two things."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mailroom.hashing import Hasher

HASHER = Hasher(b"k" * 32)


@given(st.text(), st.text())
def test_identities(one: str, other: str) -> None:
    """The same identity has the same 16 letters, another has others, and all of them fit the name of a key."""
    assert (HASHER(one) == HASHER(other)) is (one == other)
    assert re.fullmatch(r"[A-Za-z0-9_-]{16}", HASHER(one))


def test_key() -> None:
    """Another installation's key gives other hashes, and a key never shows."""
    assert Hasher(b"x" * 32)("email:eva@example.org") != HASHER("email:eva@example.org")
    assert "k" * 8 not in repr(HASHER)


def test_long_key() -> None:
    """A key longer than the hash takes is cut, not refused."""
    assert Hasher(b"x" * 100)("a") == Hasher(b"x" * 64)("a")


@given(st.text(), st.binary(), st.text(), st.binary())
def test_bodies(origin: str, body: bytes, other_origin: str, other_body: bytes) -> None:
    """A body of one origin is known again only as the same bytes of the same origin."""
    same = (origin, body) == (other_origin, other_body)
    assert (HASHER.body(origin, body) == HASHER.body(other_origin, other_body)) is same


def test_body_and_origin_do_not_run_together() -> None:
    """What ends one origin cannot begin a body."""
    assert HASHER.body("shop", b"s") != HASHER.body("shops", b"")


def test_body_is_not_an_identity() -> None:
    """The digest of a body cannot be taken for the hash of a person."""
    assert HASHER.body("", b"email:eva@example.org") != HASHER("email:eva@example.org")
