"""What is searched: the setups, small for every run of the tests and large for `make model`.

Each is a few events and a few faults, chosen so that together they meet every step of both models. A large one that
reaches its limit says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.model import handover, mailroom, names
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
#: Of three events of one person the first lets its delivery wait, and the last says that she wants less of us.
OPT_OUT: Mapping[str, Any] = {
    "events": {"1": "in/a", "2": "in/a", "3": "in/a"},
    "makes": {"1": {"1.0": "crm/O"}, "2": {"2.0": "crm/O"}, "3": {"3.0": "crm/O"}},
    "patient": frozenset({"1.0"}),
    "urgent": frozenset({"3.0"}),
}
#: Deliveries that cannot be looked for: the one is held in doubt, the other sent again.
BLIND: Mapping[str, Any] = {**PAIR, "no_find": frozenset({"1.0", "2.0"}), "resend": frozenset({"2.0"})}
#: What follows is leased at once, or not.
EITHER: Mapping[str, Any] = {"at_once": (True, False)}

#: What people do about dead letters and held boxes: they send them as they were, or have them routed once more.
AS_SENT: Mapping[str, Any] = {"verbs": frozenset({"not sent", "skip", "drop", "revive"})}
TODAY: Mapping[str, Any] = {"verbs": frozenset({"not sent", "skip", "drop", "again"})}

#: What makes the object under both names, and what comes under one of them.
INTRODUCED: Mapping[str, Any] = {"touches": ("xa", "a", "x")}
#: A rename from a to b of an object that is known, and what comes under its id and the new address.
RENAMED: Mapping[str, Any] = {"touches": ("xab", "b", "x"), "shows": "xa", "known": True, "takes": {1: "a"}}
#: The same where the rename names no id and the id map knows nothing.
RENAMED_COLD: Mapping[str, Any] = {"touches": ("xa", "ab", "x"), "takes": {2: "a"}}
#: Names of which nobody knows that they are one: each find tells it on the way.
UNKNOWN: Mapping[str, Any] = {"touches": ("a", "x", "xa"), "shows": "xa", "in_order": False}
#: Three names of one object, none of which is known.
UNKNOWN_THREE: Mapping[str, Any] = {"touches": ("a", "x", "b"), "shows": "xab", "in_order": False}


@dataclass(frozen=True)
class ModelCheck:
    """One search."""

    name: str
    setup: mailroom.MailroomSetup | handover.HandoverSetup | names.NamesSetup
    most: int = 1_000_000

    def run(self) -> SearchVerdict:
        """Search it."""
        if isinstance(self.setup, mailroom.MailroomSetup):
            return search(mailroom.MailroomModel(self.setup), most=self.most)
        if isinstance(self.setup, names.NamesSetup):
            return search(names.NamesModel(self.setup), most=self.most)
        return search(handover.Handover(self.setup), most=self.most)


def _mailroom(name: str, what: Mapping[str, Any], *more: Mapping[str, Any], **faults: int) -> ModelCheck:
    options = {key: value for one in (what, *more) for key, value in one.items()}
    return ModelCheck(f"mailroom, {name}", mailroom.MailroomSetup(faults=mailroom.Faults(**faults), **options))


def _handover(name: str, events: str, options: Mapping[str, Any] | None = None, **faults: int) -> ModelCheck:
    return ModelCheck(
        f"hand-over, {name}",
        handover.HandoverSetup(tuple(events), handover.HandoverFaults(**faults), **(options or {})),
    )


def _names(name: str, what: Mapping[str, Any], **faults: int) -> ModelCheck:
    return ModelCheck(f"names, {name}", names.NamesSetup(faults=names.NamesFaults(**faults), **what))


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
    _mailroom("somebody wants less of us", OPT_OUT, EITHER, crashes=1),
    _mailroom("somebody wants less of us, a destination fails", OPT_OUT, bad=1),
    _mailroom("the bell", PAIR, EITHER, {"bell": True}, crashes=1, stops=1),
    _handover("the store goes away", "123", outages=1),
    _handover("an answer is lost", "12", lost=1, outages=1),
    _handover("a receiver dies", "12", outages=1, crashes=1),
    _handover("the power goes", "12", outages=1, power_cuts=1),
    _handover("the spool is full", "12", {"most": 1}, outages=1, again=1),
    _handover("the store is believed to be away", "123", {"wary": True}),
    _handover("both hand over at once", "12", {"wary": True, "both": True, "batch": 1}, lost=1),
    _names("the object is made", INTRODUCED, crashes=1),
    _names("an answer is lost", INTRODUCED, lost=1),
    _names("a rename, a destination fails", RENAMED, bad=1),
    _names("a rename, the store fails over", RENAMED, failovers=1),
    _names("a rename of what is made", RENAMED_COLD, lost=1),
    _names("nobody knew that they are one", UNKNOWN, failovers=1),
    _names("three names", UNKNOWN_THREE, lost=1),
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
    _mailroom("somebody wants less of us, all that fails", OPT_OUT, EITHER, bad=1, crashes=1, again=1),
    _mailroom("people send what died, three events", THREE, AS_SENT, bad=2, people=2),
    _handover("away twice, an answer is lost", "123", outages=2, lost=1),
    _handover("a receiver dies, an answer is lost", "12", outages=1, lost=1, crashes=1, again=1),
    _handover("the power goes", "123", outages=1, power_cuts=1),
    _handover("both hand over at once", "123", {"wary": True, "both": True, "batch": 1}, lost=1),
    _handover("all but resending", "12", outages=1, lost=1, crashes=1, power_cuts=1),
    _names("the object is made, answers are lost, a drain dies", INTRODUCED, crashes=1, lost=1, failovers=1),
    _names("the object is made, a destination fails, a drain dies", INTRODUCED, crashes=1, bad=1),
    _names("a rename, declared dead alive, an answer is lost", RENAMED, stalls=1, lost=1),
    _names("a rename, a destination fails, a drain dies", RENAMED, bad=1, crashes=1),
    _names("a rename of what is made, a destination fails", RENAMED_COLD, bad=1, failovers=1),
    _names("nobody knew that they are one, answers are lost, failover", UNKNOWN, lost=2, failovers=1),
    _names("nobody knew that they are one, a drain dies", UNKNOWN, crashes=1, lost=1),
    _names("three names, a drain dies", UNKNOWN_THREE, crashes=1),
    _names("three names, a destination fails, failover", UNKNOWN_THREE, bad=1, failovers=1),
)
