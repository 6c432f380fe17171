"""What must not be asked of a vendor: a search for what was made just now, before its search can show it.

Comes in: the sandbox's world, before anything is made there. Goes out: the ids that were searched for too early.
Whoever made a record and got no answer has to wait until a search shows it, or makes a second one.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.rest import Record, Table
from sandbox.state import SandboxState


class WatchedTable(Table):
    """A table that notes each search which its lag kept from showing a record."""

    def __init__(self, prefix: str, note: Callable[[str], None]) -> None:
        super().__init__(prefix)
        self._note = note
        #: As they were made: a name that a record got later is nobody's to create.
        self._as_made: list[Record] = []

    def add(self, values: Mapping[str, Any]) -> Record:
        record = super().add(values)
        self._as_made.append(dict(record))
        return record

    def find(self, matches: Callable[[Record], bool], lag: float) -> list[Record]:
        hits = super().find(matches, lag)
        latest = time.monotonic() - lag
        for record in reversed(self._as_made):
            if self._made[record["id"]] <= latest:
                break
            if matches(record):
                self._note(f"{record['id']} was searched for before a search could show it")
        return hits


def watch(world: SandboxState, note: Callable[[str], None]) -> None:
    """Watch the tables of a world in which what is made must not be made twice."""
    world.crm.contacts = WatchedTable("c", note)
    world.invoicing.customers = WatchedTable("k", note)
    world.invoicing.invoices = WatchedTable("i", note)
