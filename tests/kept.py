"""What each key of the store holds of a person, for how long, and what forgetting does to it.

Comes in: the key table at the top of `mailroom/lua/00-keys.lua`. Goes out: the same as a table of docs/data-kept.md,
with a word on persons for each key. A test compares the words with a store in which a person stands everywhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailroom.client import library_text

#: What a key may hold of a person; what is not named below holds nothing: clear: values; hash: keyed hashes.
CLEAR, HASH = "**values**", "keyed hashes"
#: What `relais forget` does: erased; goes with what waits; stays (and why), until its age takes it.
ERASED, WITH_ITEM, AGES = "erased", "goes with what waits", "stays until then"

#: Other persons than those whom events are about.
STAFF = "those who use the console"

PERSONAL: Mapping[str, tuple[str, str]] = {
    "e:<event>": (CLEAR, ERASED),
    "d:<delivery>": (CLEAR, ERASED),
    "refused": (CLEAR, ERASED),
    "m:<name>:<hash>": ("keyed hashes, ids of the destination", ERASED),
    "once:<hash>": (HASH, ERASED),
    "co:<room>:<hash>": (HASH, ERASED),
    "echo:<source>:<hash>": (HASH, ERASED),
    "echoed:<hash>": (HASH, ERASED),
    "ledger:<day>": (HASH, "the hashes are erased, the lines stay"),
    "newest:<day>": (HASH, ERASED),
    "deadinfo": (HASH, ERASED),
    "deadbox": (HASH, ERASED),
    "passed": (HASH, ERASED),
    "objects:<bucket>": (HASH, "stays: else a fetched list would bring the person back as new"),
    "known:<bucket>": ("hashes of senders' ids", "stays: else the same message would come in as new"),
    "seen:<bucket>": ("hashes of senders' ids", "stays: else the same message would come in as new"),
    "last:<minute>": (HASH, AGES),
    "take:<drain>": (HASH, AGES),
    "audit": (f"names of {STAFF}, {HASH} of whom they searched for", "stays: it is the proof of who looked"),
    **dict.fromkeys(
        ("users", "signed_out", "views", "session:<hash>", "entry:<hash>", "tokens"), (f"names of {STAFF}", "")
    ),
    "sign_on:<hash>": (f"network addresses of {STAFF}", ""),
    "forgotten": (HASH, "written: it is the receipt"),
    **dict.fromkeys(
        (
            *("b:<room>:<box>", "one:<room>", "also:<room>", "weak:<room>", "under:<room>", "waiting:<room>"),
            *("retry:<room>", "woken:<room>", "parked:<room>", "leased:<room>", "held:<room>"),
        ),
        (HASH, WITH_ITEM),
    ),
    **dict.fromkeys(
        ("ready:<room>", "ready:<room>:<class>", "notes:<room>", "suspect:<room>"),
        (HASH, "goes when a worker takes from there next"),
    ),
}


@dataclass(frozen=True)
class KeptKey:
    """A line of the key table."""

    name: str
    holds: str
    lives: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """Return what its names look like."""
        text = re.escape(self.name).replace(r"\<", "<").replace(r"\>", ">")
        return re.compile(f"{re.sub('<[a-z]+>', '[^:]+', text)}$")


def list_keys() -> list[KeptKey]:
    """Return the lines of the key table."""
    head = library_text().split("State of a box")[0].splitlines()
    (title,) = (line for line in head if line.strip().startswith("key "))
    places = [title.index(word) for word in ("key ", "type", "what it holds", "written by", "lives")]
    found: list[list[str]] = []
    for line in head[head.index(title) + 1 :]:
        if not line.strip():
            continue
        name, _, holds, _, lives = (line[a:b].strip() for a, b in zip(places, [*places[1:], None], strict=True))
        if name:
            found.append([name, holds, lives])
        else:
            found[-1][1], found[-1][2] = f"{found[-1][1]} {holds}".strip(), f"{found[-1][2]} {lives}".strip()
    return [KeptKey(*row) for row in found]


def kept_table(_: Any) -> list[str]:
    """Return the table of all keys of the store."""
    rows = []
    for key in list_keys():
        personal, forgotten = PERSONAL.get(key.name, ("", ""))
        holds = key.holds.replace("|", "\\|")
        rows.append(f"| `{key.name}` | {holds} | {personal} | {key.lives} | {forgotten} |")
    return [
        "| key of the store | what it holds | of a person | how long | `relais forget` |",
        "|---|---|---|---|---|",
        *rows,
    ]
