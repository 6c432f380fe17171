"""What people are told of a dead letter or a held box: where it was to go, what asked for it, and why it ended.

Comes in: what the drain or a person knows. Goes out: JSON as it stands in the store. Never holds a value of a person.
"""

from dataclasses import dataclass

from pydantic_core import to_json


@dataclass(frozen=True, slots=True)
class DeadLetterInfo:
    """One record for all: a delivery, an event that could not be routed, a rule that could not be carried out."""

    #: The destination, or `in` where the event itself could not be routed; empty: nobody knows.
    room: str
    event: str
    #: One stable word, and a sentence for people.
    code: str
    why: str
    box: str = ""
    delivery: str = ""
    action: str = ""
    rule: str = ""
    #: HTTP status of the last answer, 0 where there was none.
    status: int = 0
    #: When it died or was held, ms; 0: the store's own time tells.
    at: int = 0

    def encode(self) -> str:
        """Return it as JSON; what is not known is left out."""
        known = {
            "box": self.box,
            "event": self.event,
            "delivery": self.delivery,
            "action": self.action,
            "rule": self.rule,
            "code": self.code,
            "why": self.why,
            "status": self.status,
            "at": self.at,
        }
        # The mailroom's Lua looks for the room, also where it is empty: a rule whose destination nobody knows any more.
        return to_json({"room": self.room, **{name: value for name, value in known.items() if value}}).decode()
