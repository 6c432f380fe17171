"""What became of an event: the ledger's lines, as they are written and as they are read back.

Comes in: what happened, or the lines of JSON that say so. Goes out: such a line (one writer per kind), or a Fate. Never
touches Redis, and never writes a value of a person: rules, places, codes and counts only.

Lines, by `t`:
  routed       at, source, type, received, who: [keyed hashes of its identities and of its sender's id],
               book, fired: [rule], missed: [[rule, at, why]], codes: [of each missed],
               missed_as: name of a text that has these two, `missed:<name>`; then `missed` is empty here,
               made: [[delivery, destination, action, rule]], skipped: [[destination, action, rule, code, why]],
               observed: [[destination, action, rule, code, why]]: what rules in `mode: observe` would have asked for,
               shadow: {book, differs: [[change, action, rule, why]]}: what a book that is only observed would do,
               echo: the delivery of ours that it is the echo of
  attempt      at, d(elivery), n, outcome, code, status, ms, then: done | wait | hold | dead, why
               (of a delivery that could not be made only: at, d, then: dead, code, why)
  waits        at, d(elivery), until, why        it is not sent before, because its rule says so (`delay`, `hold`)
  left_out     at, d(elivery), code, why         when it was due, its rule did not ask for it (`at: delivery`)
  next         at, d(elivery), made: […], skipped: […], or why nothing can follow
  other_content  first            its sender's id came before, with other content, as the event `first`
  unread       fields                        what could not be read and was left out when it was received
  came_again   (nothing)          it was in quarantine, came again and fits now
  once         d(elivery)         not made: `only_once` had seen its like
  coalesced    d(elivery), by     a newer one took its place
  stale        d(elivery), by     it waited, unattempted, until this one said that somebody wants less of us
  quarantined  at, source, type, received, why
  failed       at, source, type, received, who, book, code, why  the event itself is a dead letter
  asked        at, to, look_up, code, until   a look-up of `to` was not answered: it is asked again then
  held         d(elivery or event), code                         its box waits for a person: it killed three drains

What a person did, `by` whom and `why`; `d` is a delivery, or the event itself where that is what was decided about:
  released     d, at                 the held box goes on with it
  skipped      d, at, code, then     the held box goes on without it; then: dead | dropped
  revived      d, at                 a dead letter is sent once more
  again        d, at                 a dead letter's event is routed once more for it; the next `routed` has `again`: 1
  dropped      d, at                 a dead letter, or what waited or was kept of an event that lies aside, is given up
  undropped    d, at                 a dead letter that was given up is one again, as it was
  taken_in     d, at, from           what lay aside (quarantine, unmatched, refused, spool) goes to be routed after all
  looked       d, at                 somebody saw the payload
  forgotten    d, at                 what was kept of it is erased: somebody whom it is about is forgotten

The mailroom's Lua writes `once`, `coalesced`, `stale`, `held`, `other_content`, `unread` and `came_again`, and changes
`then` of an attempt's line to `wait` where a destination turns out to be away. It finds it by its text: a line is
compact JSON with its keys in the order above.
"""

import hashlib
import itertools
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic_core import to_json

from mailroom.sentences import explain_miss, give_reason, say, spell_out
from rules.action import STALE
from rules.event_types.base import from_epoch
from rules.matching.truth import Why

#: What became of an item of a lease; back: it was given back untouched.
Verdict = Literal["done", "dead", "wait", "hold", "back"]
#: What follows an attempt.
Then = Literal["done", "wait", "hold", "dead"]
#: How an attempt ended: done, or the class of its failure.
Outcome = Literal["done", "limited", "transient", "ambiguous", "permanent", "credential"]
#: What follows for an item that a person took out of a held box.
SkippedThen = Literal["dead", "dropped"]
#: What an event can wait or end in; docs/operating.md lists each with the verbs of people.
EventState = Literal[
    "waiting",
    "delivering",
    "delivered",
    "unmatched",
    "observed",
    "echo",
    "coalesced",
    "stale",
    "skipped",
    "dead",
    "quarantined",
]
#: What a delivery can wait or end in. retried: another took its place, because its event was routed once more.
#: observed: it was never made, because its rule is only observed.
DeliveryState = Literal["waiting", "held", "delivered", "dead", "skipped", "coalesced", "stale", "retried", "observed"]
#: The condition at which a rule did not match: rule, at, why.
MissedRule = tuple[str, str, Why]
#: A delivery that came into being: delivery, destination, action, rule.
MadeDelivery = tuple[str, str, str, str]
#: An action that a matching rule did not ask for: destination, action, rule, code, why.
SkippedAction = tuple[str, str, str, str, str]
#: What an observed rule would have asked for: destination, action, rule; code and why, where nothing would have been
#: sent, or cannot be told. A rule that asks for nothing has no destination and no action.
ObservedAction = tuple[str, str, str, str, str]
#: What another book would do otherwise: change (added, gone, changed, failing, undecided), action, rule, why.
ShadowDifference = tuple[str, str, str, str]

#: What a delivery is after an attempt, by what follows.
AFTER_ATTEMPT: Mapping[str, DeliveryState] = {"done": "delivered", "dead": "dead", "hold": "held"}
#: What an event is that is itself held, dropped, retried.
OF_ITSELF: Mapping[DeliveryState, EventState] = {
    "waiting": "waiting",
    "held": "waiting",
    "delivered": "delivered",
    "dead": "dead",
    "skipped": "skipped",
    "coalesced": "coalesced",
    "stale": "stale",
    "retried": "waiting",
}
#: Ends of a delivery, and what a person may still decide.
OPEN = frozenset({"waiting", "held"})

#: What a line says where no rule missed, before it is known.
NONE_MISSED = '"missed":[]'
#: Characters of rules that did not fire that stand in each line; what is longer is kept once, for all that say it.
LONGEST_MISSED = 200
#: How a line names what is kept apart: name of a text.
_MISSED_AS = re.compile(r'"missed_as":"([0-9a-f]+)"')

#: Characters of a reason that a line keeps.
LONGEST_WHY = 300


#: What a person did: the kinds of line that are listed as decisions.
DECISIONS = frozenset(
    {"released", "skipped", "revived", "again", "dropped", "undropped", "taken_in", "looked", "forgotten"}
)


@dataclass(frozen=True)
class Decision:
    """Who decides something, and why."""

    #: The operating-system user that the command line names, or what the console knows of who asks.
    by: str = ""
    why: str = ""


#: Nobody says who: a test, or an older program.
NOBODY = Decision()


@dataclass
class DeliveryFate:
    """One action of the event, and its attempts."""

    id: str
    destination: str
    action: str
    rule: str
    state: DeliveryState = "waiting"
    why: str = ""
    #: When it came to that, RFC 3339; empty: the ledger does not say.
    since: str = ""
    attempts: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Fate:
    """An event's story, without a value of anybody."""

    id: str
    source: str = ""
    type: str = ""
    received_at: str = ""
    #: Keyed hashes of its identities and of its sender's id: by them a person's events are found.
    who: list[str] = field(default_factory=list)
    state: EventState = "waiting"
    book: str = ""
    why: str = ""
    #: Where the event itself is a dead letter: the stable word that says why, and when it became one.
    code: str = ""
    since: str = ""
    #: The event that had the same sender's id before, with other content.
    same_id_as: str = ""
    #: The delivery that wrote what this event tells; empty: it tells of something else.
    echo_of: str = ""
    #: Fields that could not be read and were left out, and what else was not read as it came.
    unread: list[str] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[DeliveryFate] = field(default_factory=list)
    #: What a book that was only observed would have done otherwise: book, differs.
    shadow: dict[str, Any] = field(default_factory=dict)
    #: What people did: at, what, item, by, why.
    decisions: list[dict[str, str]] = field(default_factory=list)

    @property
    def settled(self) -> bool:
        """True when nothing more will happen by itself."""
        return self.state not in ("waiting", "delivering")

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, in the order a person reads; beside a sentence stand code and arguments."""
        told = {
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "received_at": self.received_at,
            **({"who": self.who} if self.who else {}),
            "state": self.state,
            **({"why": self.why} if self.why else {}),
            **({"same_id_as": self.same_id_as} if self.same_id_as else {}),
            **({"echo_of": self.echo_of} if self.echo_of else {}),
            **({"unread": self.unread} if self.unread else {}),
            "book": self.book,
            "rules": self.rules,
            "deliveries": [
                {
                    "id": d.id,
                    "destination": d.destination,
                    "action": d.action,
                    "rule": d.rule,
                    "state": d.state,
                    **({"why": d.why} if d.why else {}),
                    "attempts": d.attempts,
                }
                for d in self.deliveries
            ],
            **({"shadow": self.shadow} if self.shadow else {}),
            **({"decisions": self.decisions} if self.decisions else {}),
        }
        said: dict[str, Any] = spell_out(told)
        return said


# -- the lines, as they are written


def now() -> str:
    """Return the wall clock as the ledger has it: RFC 3339 in UTC with milliseconds."""
    return from_epoch(int(time.time() * 1000))


def routed(
    *,
    source: str,
    type: str,
    received: str,
    book: str,
    fired: Sequence[str],
    made: Sequence[MadeDelivery],
    missed: str = "",
    who: Sequence[str] = (),
    skipped: Sequence[SkippedAction] = (),
    observed: Sequence[ObservedAction] = (),
    shadow: Mapping[str, Any] | None = None,
    again: int = 0,
    echo: str = "",
) -> str:
    """An event was routed. `again`: the round, where it was routed once more for its dead letters.

    `missed`: the rules that did not fire, as the `line` of a MissedText.
    `echo`: the delivery of ours that it is the echo of.
    """
    line: dict[str, Any] = {
        "t": "routed",
        "at": now(),
        "source": source,
        "type": type,
        "received": received,
        "book": book,
        "fired": fired,
        "missed": (),
        "made": made,
    }
    if skipped:
        line["skipped"] = skipped
    if observed:
        line["observed"] = observed
    if shadow:
        line["shadow"] = shadow
    if again:
        line["again"] = again
    if who:
        line["who"] = who
    if echo:
        line["echo"] = echo
    text = _encode(line)
    # Never inside of a text, where a quote has a backslash before it.
    return text.replace(NONE_MISSED, missed, 1) if missed else text


class MissedText(NamedTuple):
    """The rules that did not fire for an event; mostly they are those of many events."""

    #: What stands in the line; empty: all fired.
    line: str = ""
    #: What is kept apart, as a counter of a settlement; empty: nothing.
    kept: str = ""


def write_missed(missed: Sequence[MissedRule]) -> MissedText:
    """Return the rules that did not fire, as the ledger says them."""
    said = {"missed": [(rule, at, str(why)) for rule, at, why in missed], "codes": [why.code for _, _, why in missed]}
    text = _encode(said)
    if len(text) <= LONGEST_MISSED:
        return MissedText(text[1:-1])
    name = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return MissedText(f'{NONE_MISSED},"missed_as":"{name}"', f"=missed:{name} {text}")


def find_missed(lines: str) -> list[str]:
    """Return the names of what is kept apart for these lines."""
    return _MISSED_AS.findall(lines)


def _why(why: str) -> dict[str, str]:
    return {"why": why[:LONGEST_WHY]} if why else {}


def attempt(
    delivery: str, *, n: int, outcome: Outcome, code: str, status: int, ms: int, then: Then, why: str = ""
) -> str:
    """A delivery was attempted; `n` counts from 1. `why`: a sentence without a value of anybody."""
    return _encode(
        {
            "t": "attempt",
            "d": delivery,
            "at": now(),
            "n": n,
            "outcome": outcome,
            "code": code,
            "status": status,
            "ms": ms,
            "then": then,
            **_why(why),
        }
    )


def waits(delivery: str, until: int, why: str) -> str:
    """A delivery is not sent before `until`, in ms since 1970, because its rule says so."""
    return _encode({"t": "waits", "d": delivery, "at": now(), "until": from_epoch(until), "why": why})


def left_out(delivery: str, code: str, why: str) -> str:
    """A delivery is not sent: when it was due, its rule did not ask for it."""
    return _encode({"t": "left_out", "d": delivery, "at": now(), "code": code, **_why(why)})


def never_made(delivery: str, code: str, why: str) -> str:
    """A delivery came into being as a dead letter, because a value of it could not be made."""
    return _encode({"t": "attempt", "d": delivery, "at": now(), "then": "dead", "code": code, **_why(why)})


def next_actions(delivery: str, made: Sequence[MadeDelivery], skipped: Sequence[SkippedAction]) -> str:
    """What follows from a delivery (`next:`) came into being."""
    return _encode({"t": "next", "d": delivery, "at": now(), "made": made, "skipped": skipped})


def next_lost(delivery: str, why: str) -> str:
    """What follows from a delivery (`next:`) cannot be told any more."""
    return _encode({"t": "next", "d": delivery, "at": now(), "why": why})


def failed(*, source: str, type: str, received: str, book: str, code: str, why: str, who: Sequence[str] = ()) -> str:
    """The event itself is a dead letter: it could not be routed."""
    return _encode(
        {
            "t": "failed",
            "at": now(),
            "source": source,
            "type": type,
            "received": received,
            "book": book,
            "code": code,
            "why": why,
            **({"who": who} if who else {}),
        }
    )


def quarantined(*, source: str, type: str, received: str, why: str) -> str:
    """An event was authentic but not valid, and is kept apart: at once, when it was received."""
    return _encode(
        {"t": "quarantined", "at": received, "source": source, "type": type, "received": received, "why": why}
    )


def asked(*, destination: str, look_up: str, code: str, until: int) -> str:
    """A look-up that a rule needs was not answered; `until`: when it is asked again, in ms since 1970."""
    again = from_epoch(until)
    return _encode({"t": "asked", "at": now(), "to": destination, "look_up": look_up, "code": code, "until": again})


def released(item: str, decision: Decision = NOBODY) -> str:
    """A person lets a held box go on with its first item."""
    return _decided("released", item, decision)


def skipped(item: str, decision: Decision = NOBODY, *, code: str, then: SkippedThen) -> str:
    """A person lets a held box go on without its first item; `code`: why it was held."""
    return _decided("skipped", item, decision, code=code, then=then)


def revived(item: str, decision: Decision = NOBODY) -> str:
    """A person sends a dead letter once more."""
    return _decided("revived", item, decision)


def again(item: str, decision: Decision = NOBODY) -> str:
    """A person lets an event be routed once more for a dead letter of it."""
    return _decided("again", item, decision)


def dropped(item: str, decision: Decision = NOBODY) -> str:
    """A person gives a dead letter up, or what lies aside."""
    return _decided("dropped", item, decision)


def undropped(item: str, decision: Decision = NOBODY) -> str:
    """A person takes back that a dead letter was given up."""
    return _decided("undropped", item, decision)


def taken_in(item: str, decision: Decision = NOBODY, *, shelf: str) -> str:
    """A person lets what lay aside be routed after all; `shelf`: where it lay."""
    return _decided("taken_in", item, decision, **{"from": shelf})


def looked(item: str, decision: Decision = NOBODY) -> str:
    """A person saw the payload."""
    return _decided("looked", item, decision)


def forgotten(item: str, decision: Decision = NOBODY) -> str:
    """A person lets somebody be forgotten whom the event is about. Never says why: a reason may name them."""
    return _decided("forgotten", item, Decision(decision.by))


def _decided(what: str, item: str, decision: Decision, **more: str) -> str:
    said = {"by": decision.by, "why": decision.why}
    return _encode({"t": what, "d": item, "at": now(), **more, **{name: text for name, text in said.items() if text}})


def _encode(line: Mapping[str, Any]) -> str:
    return to_json(line).decode()


# -- the lines, as they are read back

#: Why an item ended that a person gave up.
BY_HAND = say("by_hand")
#: Why what waited is not sent any more.
FORGOTTEN = say("forgotten")


def tell(event_id: str, lines: Iterable[str], missed: Mapping[str, Mapping[str, Any]] | None = None) -> Fate:
    """Return the story that the ledger's lines tell; without lines the event is waiting to be routed.

    `missed`: what is kept apart of rules that did not fire, by name.
    """
    story = _Story(Fate(event_id), missed or {})
    for text in lines:
        line = json.loads(text)
        if "received" in line:
            story.fate.source, story.fate.type, story.fate.received_at = line["source"], line["type"], line["received"]
            story.fate.who = line.get("who") or story.fate.who
        if line["t"] in DECISIONS:
            story.decided(line)
        tell_it = getattr(story, line["t"], None)
        if tell_it is not None:  # A newer version, side by side with this one, may know more kinds.
            tell_it(line)
    return story.end()


class _Story:
    """One method per kind of line."""

    def __init__(self, fate: Fate, missed: Mapping[str, Mapping[str, Any]]) -> None:
        self.fate = fate
        self.missed = missed
        self.by_id: dict[str, DeliveryFate] = {}
        #: Why those died that a person gave up: that may be taken back.
        self.why_dead: dict[str, str] = {}
        #: What became of the event itself while it was an item of the inbox; `routed`: its deliveries tell.
        self.itself: EventState | Literal["routed"] = "waiting"

    def decided(self, line: Mapping[str, Any]) -> None:
        said = {"at": line["at"], "what": line["t"], "item": line["d"], "by": line.get("by", "")}
        self.fate.decisions.append({**said, "why": line.get("why", "")})

    def end(self) -> Fate:
        fate = self.fate
        if self.itself == "routed":
            fate.state = _state(fate)
        elif self.itself == "waiting" and fate.deliveries:
            fate.state = "delivering"
        else:
            fate.state = self.itself
        return fate

    def routed(self, line: Mapping[str, Any]) -> None:
        fate = self.fate
        self.itself = "routed"
        fate.book, fate.why = line["book"], ""
        rules: list[dict[str, Any]] = [{"name": name, "matched": True} for name in line["fired"]]
        observed = dict.fromkeys(rule for _, _, rule, _, _ in line.get("observed", ()))
        rules += [{"name": name, "matched": True, "observed": True} for name in observed]
        told = self.missed.get(line.get("missed_as", ""), line)
        codes = itertools.chain(told.get("codes", ()), itertools.repeat(""))  # of former versions there are none
        for (name, at, why), code in zip(told["missed"], codes, strict=False):
            rules.append({"name": name, "matched": False, "at": at, "why": explain_miss(Why.of(code, why))})
        if line.get("again"):
            # Only what had died was asked for once more: what is said of other rules still holds.
            said = {rule["name"] for rule in rules}
            rules = [rule for rule in fate.rules if rule["name"] not in said] + rules
        else:
            fate.deliveries = [delivery for delivery in fate.deliveries if delivery.state != "observed"]
            fate.echo_of = line.get("echo", "")
        fate.rules = rules
        if said_of := line.get("shadow"):
            keys = ("change", "action", "rule", "why")
            differs = [dict(zip(keys, each, strict=True)) for each in said_of["differs"]]
            fate.shadow = {"book": said_of["book"], "differs": differs}
        self.next(line)

    def next(self, line: Mapping[str, Any]) -> None:
        for made in line.get("made", ()):
            delivery = DeliveryFate(*made)
            self.by_id[delivery.id] = delivery
            self.fate.deliveries.append(delivery)
        for destination, action, rule, code, why in line.get("skipped", ()):
            if code == STALE:
                self.fate.deliveries.append(DeliveryFate("", destination, action, rule, "stale", why))
            else:
                self.fate.deliveries.append(
                    DeliveryFate("", destination, action, rule, "skipped", give_reason(code, why))
                )
        for destination, action, rule, code, why in line.get("observed", ()):
            if action:
                told = give_reason(code, why) if code else ""
                self.fate.deliveries.append(DeliveryFate("", destination, action, rule, "observed", told))

    def attempt(self, line: Mapping[str, Any]) -> None:
        delivery = self.by_id.get(line["d"])
        if delivery is None:
            return
        then = line["then"]
        if "outcome" in line:
            told = ("at", "n", "outcome", "code", "status", "ms", "why")
            delivery.attempts.append({k: line[k] for k in told if k in line})
        delivery.state, delivery.since = AFTER_ATTEMPT.get(then, "waiting"), line.get("at", "")
        # An attempt says the rest itself.
        why = "" if "outcome" in line else line.get("why", "")
        delivery.why = give_reason(line.get("code", ""), why) if then in ("dead", "hold") else ""

    def waits(self, line: Mapping[str, Any]) -> None:
        self._became(line, "waiting", say("not_before", until=line["until"], why=line["why"]))

    def left_out(self, line: Mapping[str, Any]) -> None:
        self._became(line, "skipped", give_reason(line["code"], line.get("why", "")))

    def once(self, line: Mapping[str, Any]) -> None:
        self._became(line, "skipped", give_reason("only_once"))

    def coalesced(self, line: Mapping[str, Any]) -> None:
        self._became(line, "coalesced", say("by_newer", by=line["by"]))

    def stale(self, line: Mapping[str, Any]) -> None:
        self._became(line, "stale", say("overtaken", by=line["by"]))

    def quarantined(self, line: Mapping[str, Any]) -> None:
        self.itself, self.fate.why, self.fate.book = "quarantined", line["why"], ""

    def other_content(self, line: Mapping[str, Any]) -> None:
        self.fate.same_id_as = line["first"]

    def unread(self, line: Mapping[str, Any]) -> None:
        self.fate.unread = line["fields"]

    def came_again(self, line: Mapping[str, Any]) -> None:
        self.itself, self.fate.why = "waiting", ""

    def asked(self, line: Mapping[str, Any]) -> None:
        told = {name: line[name] for name in ("to", "look_up", "code", "until")}
        self.fate.why = say("asked_again", **told)

    def failed(self, line: Mapping[str, Any]) -> None:
        self.itself, self.fate.why, self.fate.book = "dead", line["why"], line["book"]
        self.fate.code, self.fate.since = line["code"], line["at"]

    def held(self, line: Mapping[str, Any]) -> None:
        self._became(line, "held", give_reason(line["code"]))

    def released(self, line: Mapping[str, Any]) -> None:
        self._became(line, "waiting", say("released"))

    def skipped(self, line: Mapping[str, Any]) -> None:
        if line["then"] == "dead":
            self._became(line, "dead", say("skipped_by_a_person", code=line["code"]))
        else:
            self._became(line, "skipped", BY_HAND)

    def revived(self, line: Mapping[str, Any]) -> None:
        self._became(line, "waiting", say("retried"))

    def again(self, line: Mapping[str, Any]) -> None:
        self._became(line, "retried", say("rerouted"))
        self.itself = "waiting"

    def dropped(self, line: Mapping[str, Any]) -> None:
        delivery = self.by_id.get(line["d"])
        if delivery is not None:
            self.why_dead[delivery.id] = delivery.why
        self._became(line, "skipped", BY_HAND)

    def undropped(self, line: Mapping[str, Any]) -> None:
        self._became(line, "dead", self.why_dead.get(line["d"], ""))

    def taken_in(self, line: Mapping[str, Any]) -> None:
        self._became(line, "waiting", "")

    def forgotten(self, line: Mapping[str, Any]) -> None:
        for delivery in self.fate.deliveries:
            if delivery.state in OPEN or delivery.state == "dead":
                delivery.state, delivery.why = "skipped", FORGOTTEN
        if self.itself != "routed":
            self.itself, self.fate.why = "skipped", FORGOTTEN

    def _became(self, line: Mapping[str, Any], state: DeliveryState, why: str) -> None:
        """Change what the line is about: a delivery, or the event itself, which has other states than those."""
        delivery = self.by_id.get(line["d"])
        if delivery is not None:
            delivery.state, delivery.why, delivery.since = state, why, line.get("at", "")
        elif line["d"] == self.fate.id:
            self.itself, self.fate.why = OF_ITSELF[state], why


def _state(fate: Fate) -> EventState:
    states = {d.state for d in fate.deliveries}
    matched = [rule for rule in fate.rules if rule["matched"]]
    if all(rule.get("observed") for rule in matched):
        return "observed" if matched else "echo" if fate.echo_of else "unmatched"
    if states & OPEN:
        return "delivering"
    if "dead" in states:
        return "dead"
    if "delivered" in states:
        return "delivered"
    if "coalesced" in states:
        return "coalesced"
    if "stale" in states:
        return "stale"
    # Nothing was sent: no consent, a condition of the action, or a person gave it up.
    return "skipped"
