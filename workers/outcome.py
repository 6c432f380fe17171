"""How an attempt to deliver ended.

Comes in: what a destination found out. Goes out: Done, or Failed with a code and a class of failure. Never says what
follows: `workers.retry` decides that and the drain carries it out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mailroom.sentences import say

#: limited     too many requests: wait as told; no attempt is counted
#: transient   the other side could not answer; a later attempt may succeed
#: ambiguous   a request that creates something was sent and its answer is unknown: search before creating again
#: permanent   the other side understood and refused; another attempt fails again
#: credential  our key is refused: pause the destination, keep its queue, send an alert
Failure = Literal["limited", "transient", "ambiguous", "permanent", "credential"]

#: Codes of transient or ambiguous failures that only a person can settle: the drain holds the box at once.
HELD = frozenset({"unresolved", "several_objects", "two_objects", "exists_unseen"})

#: Words of Done (`note`) that say that nothing was written: it was so before, or there is nobody to write it at.
#: Not `already_pending` and `already_confirmed`: fields may have been written.
IDLE = frozenset(
    {
        "already_there",
        "already_cancelled",
        "already_sent",
        "already_so",
        "no_such_company",
        "no_such_contact",
        "no_such_lead",
        "not_there",
        "nothing_to_cancel",
        "nothing_to_change",
        "nothing_to_write",
    }
)

#: Codes of failures that lie in the book or in a secret of it, whatever is delivered, and what they say of a
#: destination: its room is paused at once, and probed, since a new book or an entry of the name service mends it.
MISTAKES: Mapping[str, str] = {
    "private_address": say("mistake_private_address"),
    "unknown_host": say("mistake_unknown_host"),
    "bad_header": say("mistake_bad_header"),
}


@dataclass(frozen=True)
class Done:
    """The action was carried out, now or by an earlier attempt."""

    #: What `next:` may read as `result`.
    result: Mapping[str, Any] = field(default_factory=dict)
    #: A word where done needs one: `already_there`, `nothing_to_cancel`.
    note: str = ""
    #: HTTP status of the request that did it, 0 where none was needed.
    status: int = 0


class Failed(Exception):
    """The action was not carried out, or it is unknown whether it was."""

    def __init__(self, failure: Failure, code: str, *, wait: float = 0.0, status: int = 0, hint: str = "") -> None:
        super().__init__(code)
        self.failure: Failure = failure
        #: One word, always the same: the log field, the metric's label and the dead letter's reason.
        self.code = code
        #: Seconds that the next attempt has to wait, whatever comes of others there meanwhile: the other side asked
        #: for it (`Retry-After`), or its search is behind by so much. 0: none.
        self.wait = wait
        self.status = status
        #: A sentence for people, without values of the person concerned and without secrets.
        self.hint = hint
