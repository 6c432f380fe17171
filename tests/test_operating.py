"""The page for those who run Relais names what exists: commands, settings, metrics."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from console import settings
from mailroom import ledger
from mailroom.operator import Shelf
from tests.test_compose import parse

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "operating.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Return every `relais …` that the page tells somebody to run."""
    found = [command for kind, block in BLOCKS if kind in ("sh", "ini") for command in re.findall(RUN, block)]
    return sorted({command.strip() for command in [*found, *re.findall(r"`(relais [a-z][^`]*)`", PAGE)]})


#: Up to the end of the line or a comment; not `relais.service`, and not the user or the folder of that name.
RUN = r"(?:(?<=^)|(?<=/bin/)|(?<=receiver )|(?<=console ))relais [a-z][^#\n]*"


@pytest.mark.parametrize("command", [command for command in commands() if "COMMAND" not in command])
def test_commands(command: str) -> None:
    """Every command on the page exists, with its options."""
    words = command.split()
    parse([*words, "list"] if words == ["relais", "events"] else words)


def test_commands_are_found() -> None:
    """The test above sees the ones in the text and the ones in the blocks."""
    assert {"relais up", "relais rules check", "relais init /etc/relais/book"} <= set(commands())


def test_settings() -> None:
    """The page explains every setting, and none that does not exist."""
    known = {setting.variable for setting in settings.every()}
    named = set(re.findall(r"\b(?:RELAIS_[A-Z_]+|REDIS_URL)\b", PAGE)) - {"RELAIS_TAG"}
    assert named == known


def test_yaml() -> None:
    """The YAML on the page is YAML."""
    assert [yaml.safe_load(block) for kind, block in BLOCKS if kind == "yaml"]


def test_states() -> None:
    """Every state that an event or a delivery can wait or end in is in the table, with a command for who can decide."""
    _, _, part = PAGE.partition("### Every state, and what can be done")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", part, re.MULTILINE)
    listed = {state: {word.strip() for word in of.split(",")} for state, of, _, _ in rows}
    events = {state for state, of in listed.items() if "event" in of}
    deliveries = {state for state, of in listed.items() if "delivery" in of}
    assert events == set(get_args(ledger.EventState))
    assert deliveries == set(get_args(ledger.DeliveryState))
    assert listed.keys() - events - deliveries == {"refused", "set_aside"}
    assert all("`relais " in look for _, _, look, _ in rows)
    ends = {"delivered", "skipped", "coalesced", "stale", "retried"}
    assert {state for state, _, _, decide in rows if decide == "nothing"} == ends
    decides = " ".join(decide for _, _, _, decide in rows)
    verbs = {"quarantine": "quarantine retry", "refused": "refused retry", "unmatched": "events reroute"}
    assert [shelf for shelf in get_args(Shelf) if f"`relais {verbs[shelf]}" not in decides] == []
