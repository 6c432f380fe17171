"""Keyed hashes: how an identity appears in the name of a key.

Takes an identity in clear (`email:eva@example.org`), gives 16 letters. Without the key nobody can tell which person a
name stands for, nor try addresses until one fits. Never stores anything.
"""

import base64
import hashlib

#: 96 bits: among a billion identities two share a hash with a chance below 1 in 10 billion; a box shared by mistake
#: would only make two people wait for each other.
DIGEST_BYTES = 12


class Hasher:
    """Hashes identities with the key of this installation."""

    def __init__(self, key: bytes) -> None:
        self._key = key[:64]

    def __repr__(self) -> str:
        return "Hasher(…)"

    def __call__(self, identity: str) -> str:
        """Return the keyed hash of an identity in clear."""
        digest = hashlib.blake2b(identity.encode(), digest_size=DIGEST_BYTES, key=self._key).digest()
        return base64.urlsafe_b64encode(digest).decode()

    def body(self, origin: str, body: bytes) -> str:
        """Return the keyed digest by which a repeated body of an origin (source and type) is known."""
        # Two vendors may send the same bytes, and one of them may name the type in the URL only.
        text = len(origin).to_bytes(4) + origin.encode() + body
        digest = hashlib.blake2b(text, digest_size=DIGEST_BYTES, key=self._key, person=b"body").digest()
        return base64.urlsafe_b64encode(digest).decode()
