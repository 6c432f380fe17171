"""What somebody orders of a job: a verb, what it is about, how and how fast.

Comes in: JSON. Goes out: a validated order. Never looks at what it is about.
"""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from console.api.request import DecisionBody, name_some
from mailroom.operator import Selection
from rules.event_types.base import from_epoch

JobVerb = Literal["retry", "reroute", "drop", "undrop", "release", "discard", "skip", "replay", "cancel"]
#: Where things are: dead letters, held boxes, events of a held source, what lies aside, events that have ended,
#: deliveries that wait.
JobPlace = Literal["dead", "boxes", "held", "quarantine", "unmatched", "refused", "events", "deliveries"]

#: Where a verb can act, first where it does if nothing is said.
PLACES: Mapping[JobVerb, tuple[JobPlace, ...]] = {
    "retry": ("dead", "unmatched", "quarantine", "refused"),
    "reroute": ("unmatched",),
    "drop": ("dead", "unmatched", "quarantine", "refused"),
    "undrop": ("dead",),
    "release": ("boxes", "held"),
    "discard": ("held",),
    "skip": ("boxes",),
    "replay": ("events",),
    "cancel": ("deliveries",),
}
#: Ids that a filter may name.
MOST_IDS = 10_000
#: No time is later, in ms.
YEAR_10000 = 253_402_300_800_000


class JobFilter(BaseModel):
    """What is meant; what is empty leaves nothing out."""

    model_config = DecisionBody.model_config

    destination: str = ""
    action: str = ""
    rule: str = ""
    code: str = ""
    source: str = ""
    type: str = ""
    event: str = ""
    #: Died, held or received at this time or later, ms.
    since: int = Field(0, ge=0, lt=YEAR_10000)
    #: Events of a held source: received before this time, ms.
    before: int = Field(0, ge=0, lt=YEAR_10000)
    ids: list[str] = Field(default_factory=list, max_length=MOST_IDS)

    @property
    def named(self) -> list[str]:
        """The ids of what is meant, also of the event."""
        return [*self.ids, *([self.event] if self.event else [])]

    def select(self) -> Selection:
        """Return it as what the mailroom's lists are asked for."""
        names = ("destination", "action", "rule", "code", "source", "type", "event", "since")
        return Selection(**{name: getattr(self, name) for name in names}, ids=frozenset(self.ids))

    def tell(self) -> str:
        """Return it in a line, for the audit."""
        times = {name: from_epoch(at) for name in ("since", "before") if (at := getattr(self, name))}
        told = [f"{name}={times.get(name, value)}" for name, value in self if value and name != "ids"]
        return " ".join([*told, *([name_some(self.ids)] if self.ids else [])]) or "all"


class JobHow(BaseModel):
    """In which way it is done."""

    model_config = DecisionBody.model_config

    #: retry: by the rules of today, not as it was sent.
    today: bool = False
    #: retry, reroute, replay: also where something newer was sent or routed.
    even_if_older: bool = False
    #: release: the first items were not sent, somebody has looked.
    not_sent: bool = False
    #: skip: the first items are given up, instead of becoming dead letters.
    drop: bool = False
    #: drop of dead letters: they are erased now, and cannot be had back.
    at_once: bool = False
    #: release of held events: also what stands before them, of the same persons.
    with_older: bool = False
    #: retry of refused requests: somebody vouches for senders that were never verified.
    unverified: bool = False


class JobOrder(DecisionBody):
    """A job, as somebody asks for it."""

    verb: JobVerb
    place: JobPlace | None = None
    filter: JobFilter = JobFilter()
    how: JobHow = JobHow()
    #: Items a second; 0: as fast as can be.
    rate: float = Field(0.0, ge=0, le=10_000)
    #: How many there were when somebody decided: where there are more or fewer by now, nothing is done. any: as many as
    #: there are.
    expect: int | Literal["any"] | None = None
    #: Names the decision: the same one twice is one job.
    intent: str = Field("", max_length=100)
    #: Only say what would become of each.
    dry: bool = False

    @model_validator(mode="after")
    def _can_act(self) -> Self:
        if self.place is not None and self.place not in PLACES[self.verb]:
            raise ValueError(f"{self.verb} acts on {' or '.join(PLACES[self.verb])}")
        if self.expect is None and not self.dry:
            raise ValueError("say how many are expected (expect), as a dry run counts them (dry)")
        if self.where == "held" and not self.filter.source:
            raise ValueError("say of which source (filter.source)")
        if self.verb == "discard" and not (self.dry or self.reason):
            raise ValueError("say why they are given up (reason)")
        return self

    @property
    def where(self) -> JobPlace:
        """Where it acts."""
        return self.place or PLACES[self.verb][0]

    @property
    def by_today(self) -> bool:
        """Whether the rules of today decide what is sent."""
        return self.verb in ("reroute", "replay") or (self.verb == "retry" and (self.how.today or self.where != "dead"))

    @property
    def undoable(self) -> bool:
        """Whether what it does can be taken back for a while."""
        return self.verb == "drop" and self.where == "dead" and not self.how.at_once
