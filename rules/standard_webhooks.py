"""The scheme of Standard Webhooks, as who sends and who receives have it in common.

Comes in: a secret as it is written, and an id, a time and a body. Goes out: its key, and the value of the header
`webhook-signature`. Never reads a clock, and never compares: that is `receiver.verification`.

Facts: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

import base64
import hmac
from collections.abc import Sequence


def read_key(text: str) -> bytes:
    """Return the key of a secret: `whsec_` and base64. Raises ValueError."""
    bare = text.removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError("a Standard Webhooks secret is whsec_ followed by base64")
    return key


def sign(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signatures of a message, one by each key, parted by blanks. `timestamp`: seconds since 1970."""
    content = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, content, "sha256") for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode('ascii')}" for digest in digests)
