"""Identities of persons and things, in one spelling each, and the ids of events.

An event is source + sender's id + item + content. Its id says the first three in 16 letters (its base) and the content
in ten: the same message sent again has the same id, and one with other content is told apart from it by the base alone.

Comes in: values from vendors' bodies. Goes out: `email:eva@example.org`, `phone:+4930123`, `seminardesk:profile:4711`;
26 characters for an event. Never hashes identities: the mailroom does, with its key.
"""

import hashlib
import os

from rules import addresses
from rules.addresses import AddressRefused

#: 26 characters of base32 carry 130 bits: 80 of the base, 50 of the content.
ID_LENGTH = 26
#: A sender's id beyond this is cut where it is stored; the event's id is made of all of it.
SENDER_ID_MAX = 255

#: Ids for which random bytes are fetched at once: the kernel is asked for as long as an id is made.
_AT_ONCE = 64
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
#: A base32 letter for each byte: the last five bits of a random byte are random.
_ANY_BYTE = _BASE32.encode() * 8
_PAIRS = [first + second for first in _BASE32 for second in _BASE32]


#: Ids that were made ahead.
_ready: list[str] = []
# Two processes must never have the same ones.
os.register_at_fork(after_in_child=_ready.clear)


def random_id() -> str:
    """Return the id of an event whose message has none."""
    try:
        return _ready.pop()
    except IndexError:
        letters = os.urandom(ID_LENGTH * _AT_ONCE).translate(_ANY_BYTE).decode("ascii")
        first, *others = [letters[at : at + ID_LENGTH] for at in range(0, len(letters), ID_LENGTH)]
        _ready.extend(others)
        return first


def event_id(source: str, sender_id: str, item: str, content: bytes) -> str:
    """Return the id of an event: the same for the same message of a sender.

    `item` is what the platform itself calls the item of a request (empty where the sender's id names it already),
    `content` its bytes as they came. They are hashed under the sender's id: nobody can guess a body from an id.
    """
    sender = sender_id.encode("utf-8", "surrogatepass")
    told = f"{source}\0{len(sender)}\0".encode("utf-8", "surrogatepass") + sender
    told += item.encode("utf-8", "surrogatepass")
    base = hashlib.blake2b(told, digest_size=10).digest()
    key = sender if len(sender) <= hashlib.blake2b.MAX_KEY_SIZE else hashlib.blake2b(sender).digest()
    return _text(base + hashlib.blake2b(content, digest_size=7, key=key).digest())


def _text(of: bytes) -> str:
    """Return the first 130 bits in base32, two letters at a time: many times faster than `base64.b32encode`."""
    bits = int.from_bytes(of, "big") >> (8 * len(of) - 5 * ID_LENGTH)
    return "".join([_PAIRS[bits >> shift & 1023] for shift in range(5 * ID_LENGTH - 10, -1, -10)])


def email(address: str, *, clean: bool = False) -> str | None:
    """Return the identity of an e-mail address; None where the text is none. `clean`: it was cleaned before."""
    try:
        return f"email:{addresses.key_of_clean(address) if clean else addresses.key(address)}"
    except AddressRefused:
        return None


def phone(number: str, country: str | None = None) -> str | None:
    """Return the identity of a telephone number; None where there is none, or nobody knows in which country."""
    try:
        return f"phone:{addresses.phone_key(number, country)}"
    except AddressRefused:
        return None


def thing(kind: str, noun: str, key: int | str) -> str:
    """Return the identity of a thing by its id at a platform."""
    return f"{kind}:{noun}:{key}"
