"""Keyed hashes: how an identity appears in the name of a key.

Takes an identity in clear (`email:eva@example.org`), gives 16 letters. Without the key nobody can tell which person a
name stands for, nor try addresses until one fits. Never stores anything.
"""

import hashlib
import re
from binascii import b2a_base64
from functools import lru_cache

#: 96 bits: among a billion identities two share a hash with a chance below 1 in 10 billion; a box shared by mistake
#: would only make two people wait for each other.
DIGEST_BYTES = 12
#: How such a hash looks.
HASH = re.compile(r"[A-Za-z0-9_-]{16}")


class Hasher:
    """Hashes identities with the key of this installation."""

    def __init__(self, key: bytes) -> None:
        # Copying a prepared hash costs less than preparing one each time, and every event has three.
        self._identity = hashlib.blake2b(digest_size=DIGEST_BYTES, key=key[:64])
        self._body = hashlib.blake2b(digest_size=DIGEST_BYTES, key=key[:64], person=b"body")
        self._body_of = lru_cache(maxsize=256)(self._begun)

    def __repr__(self) -> str:
        return "Hasher(…)"

    def __call__(self, identity: str) -> str:
        """Return the keyed hash of an identity in clear."""
        state = self._identity.copy()
        state.update(identity.encode())
        return b2a_base64(state.digest(), newline=False).translate(_URL_SAFE).decode()

    def body(self, origin: str, body: bytes) -> str:
        """Return the keyed digest by which a repeated body of an origin (source and type) is known."""
        state = self._body_of(origin).copy()
        state.update(body)
        return b2a_base64(state.digest(), newline=False).translate(_URL_SAFE).decode()

    def _begun(self, origin: str) -> "hashlib.blake2b":
        # Two vendors may send the same bytes, and one of them may name the type in the URL only.
        state = self._body.copy()
        state.update(len(origin).to_bytes(4) + origin.encode())
        return state


BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def former_event_id(source: str, sender_id: str, position: int) -> str:
    """Return the id that schema 1 gave a message: without its content, and by its position in the batch."""
    told = f"{source}\0{sender_id}\0{position}".encode("utf-8", "surrogatepass")
    bits = int.from_bytes(hashlib.blake2b(told, digest_size=17).digest(), "big") >> 6
    return "".join([BASE32[bits >> shift & 31] for shift in range(125, -1, -5)])
