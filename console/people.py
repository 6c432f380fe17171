"""How a text that somebody searches for can be read: as an address, a telephone number, an id.

Comes in: what a person typed. Goes out: readings, each with the identity as the receiver would have made it. Never
keeps the text, and never hashes: the mailroom does.
"""

from contextlib import suppress
from dataclasses import dataclass, field

from rules import addresses
from rules.addresses import AddressRefused


@dataclass(frozen=True)
class Reading:
    """One way to read a text."""

    #: In the form of `Event.order_key`, in clear.
    identity: str = field(repr=False)
    #: e-mail, telephone, id of a system, id of a message.
    read_as: str


def read_person(text: str) -> list[tuple[str, str]]:
    """Return the identities of whom a text may name, each with how it was read; never those of a single message."""
    return [(reading.identity, reading.read_as) for reading in read(text)[:-1]]


def read(text: str) -> list[Reading]:
    """Return how a text can be read, the likeliest first; the last is always the id that a sender gave a message.

    An address also as versions before 0.2.0 read it.
    """
    text = text.strip()
    found: list[Reading] = []
    with suppress(AddressRefused):
        found.append(Reading(f"email:{addresses.key(text)}", "e-mail"))
        if (former := f"email:{text.lower()}") != found[0].identity:
            found.append(Reading(former, "e-mail, as it was written"))
    with suppress(AddressRefused):
        found.append(Reading(f"phone:{addresses.phone_key(text)}", "telephone"))
    if text.count(":") >= 2:
        found.append(Reading(text, "id of a system"))  # seminardesk:profile:4711
    return [*found, Reading(f"sender:{text}", "id of a message")]
