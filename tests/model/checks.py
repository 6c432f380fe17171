"""What is searched: the setups, small for every run of the tests and large for `make model`.

Each is a few events and a few faults, chosen so that together they meet every step of both models. A large one that
reaches its limit says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.model import handover, mailroom
from tests.model.search import SearchVerdict, search

#: Two events of one order key that write one object.
PAIR: Mapping[str, Any] = {
    "events": {"1": "in/a", "2": "in/a"},
    "makes": {"1": {"1.0": "crm/O"}, "2": {"2.0": "crm/O"}},
}
#: The same, and an event of another order key that writes the same object.
THREE: Mapping[str, Any] = {
    "events": {"1": "in/a", "2": "in/a", "3": "in/b"},
    "makes": {"1": {"1.0": "crm/O"}, "2": {"2.0": "crm/O"}, "3": {"3.0": "crm/O"}},
}
#: Two order keys, one object.
KEYS: Mapping[str, Any] = {
    "events": {"1": "in/a", "2": "in/b"},
    "makes": {"1": {"1.0": "crm/O"}, "2": {"2.0": "crm/O"}},
}
#: Two objects, and a `next` from one to the other.
CHAIN: Mapping[str, Any] = {
    "events": {"1": "in/a", "2": "in/a"},
    "makes": {"1": {"1.0": "crm/O", "1.1": "crm/P"}, "1.1": {"1.1.0": "crm/O"}, "2": {"2.0": "crm/O"}},
}
#: Deliveries that cannot be looked for: the one is held in doubt, the other sent again.
BLIND: Mapping[str, Any] = {**PAIR, "no_find": frozenset({"1.0", "2.0"}), "resend": frozenset({"2.0"})}
#: What follows is leased at once, or not.
EITHER: Mapping[str, Any] = {"at_once": (True, False)}

#: What people do about dead letters and held boxes: they send them as they were, or have them routed once more.
AS_SENT: Mapping[str, Any] = {"verbs": frozenset({"not sent", "skip", "drop", "revive"})}
TODAY: Mapping[str, Any] = {"verbs": frozenset({"not sent", "skip", "drop", "again"})}


@dataclass(frozen=True)
class ModelCheck:
    """One search."""

    name: str
    setup: mailroom.MailroomSetup | handover.HandoverSetup
    most: int = 1_000_000

    def run(self) -> SearchVerdict:
        """Search it."""
        if isinstance(self.setup, mailroom.MailroomSetup):
            return search(mailroom.MailroomModel(self.setup), most=self.most)
        return search(handover.Handover(self.setup), most=self.most)


def _mailroom(name: str, what: Mapping[str, Any], *more: Mapping[str, Any], **faults: int) -> ModelCheck:
    options = {key: value for one in (what, *more) for key, value in one.items()}
    return ModelCheck(f"mailroom, {name}", mailroom.MailroomSetup(faults=mailroom.Faults(**faults), **options))


def _handover(name: str, events: str, options: Mapping[str, Any] | None = None, **faults: int) -> ModelCheck:
    return ModelCheck(
        f"hand-over, {name}",
        handover.HandoverSetup(tuple(events), handover.HandoverFaults(**faults), **(options or {})),
    )


SMALL = (
    _mailroom("a drain dies", THREE, crashes=1),
    _mailroom("a drain dies, a chain of deliveries", CHAIN, EITHER, crashes=1),
    _mailroom("a drain is declared dead alive", PAIR, EITHER, stalls=1, again=1),
    _mailroom("an answer is lost, a drain dies", PAIR, lost=1, crashes=1),
    _mailroom("an answer is lost, a destination fails", PAIR, lost=1, bad=1),
    _mailroom("a destination fails, a drain dies", PAIR, EITHER, bad=1, crashes=1, stops=1),
    _mailroom("nothing can be found", BLIND, EITHER, bad=1, crashes=1, people=1),
    _mailroom("a box kills drains", KEYS, crashes=3, people=1),
    _mailroom("people send what died", BLIND, AS_SENT, bad=2, people=2),
    _mailroom("people have routed once more what died", BLIND, TODAY, bad=2, people=2),
    _mailroom("people send what died, and next", CHAIN, AS_SENT, bad=1, people=2),
    _mailroom("people and poison", KEYS, TODAY, crashes=3, people=1),
    _mailroom("the bell", PAIR, EITHER, {"bell": True}, crashes=1, stops=1),
    _handover("the store goes away", "123", outages=1),
    _handover("an answer is lost", "12", lost=1, outages=1),
    _handover("a receiver dies", "12", outages=1, crashes=1),
    _handover("the power goes", "12", outages=1, power_cuts=1),
    _handover("the spool is full", "12", {"most": 1}, outages=1, again=1),
    _handover("the store is believed to be away", "123", {"wary": True}),
    _handover("both hand over at once", "12", {"wary": True, "both": True, "batch": 1}, lost=1),
)

LARGE = (
    _mailroom("a drain dies, answers are lost", THREE, EITHER, crashes=1, lost=1),
    _mailroom("declared dead alive, asked to stop", THREE, EITHER, stalls=1, stops=1),
    _mailroom("a chain, answers are lost, a drain dies", CHAIN, EITHER, lost=1, crashes=1),
    _mailroom("a chain, a destination fails, a drain dies", CHAIN, bad=1, crashes=1),
    _mailroom("all but stops, a drain dies", PAIR, crashes=1, lost=1, bad=1, people=1, again=1),
    _mailroom("all but stops, declared dead alive", PAIR, stalls=1, lost=1, bad=1),
    _mailroom("nothing can be found, answers are lost", BLIND, bad=1, crashes=1, lost=1, people=1),
    _mailroom("destinations fail twice", PAIR, EITHER, {"tries": 2}, bad=2, crashes=1, stops=1),
    _mailroom("a box kills drains, answers are lost", KEYS, crashes=3, lost=1),
    _mailroom("people send what died, a drain dies", BLIND, AS_SENT, bad=2, crashes=1, people=2),
    _mailroom("people have routed what died, a drain dies", BLIND, TODAY, bad=2, crashes=1, people=2),
    _mailroom("people have routed what died, answers are lost", PAIR, TODAY, bad=1, lost=1, people=2),
    _mailroom("people have routed what died, a chain", CHAIN, TODAY, EITHER, bad=2, people=2),
    _mailroom("people send what died, three events", THREE, AS_SENT, bad=2, people=2),
    _handover("away twice, an answer is lost", "123", outages=2, lost=1),
    _handover("a receiver dies, an answer is lost", "12", outages=1, lost=1, crashes=1, again=1),
    _handover("the power goes", "123", outages=1, power_cuts=1),
    _handover("both hand over at once", "123", {"wary": True, "both": True, "batch": 1}, lost=1),
    _handover("all but resending", "12", outages=1, lost=1, crashes=1, power_cuts=1),
)
