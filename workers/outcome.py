"""How an attempt to deliver ended, in the words of design section 7.

A destination returns Done or raises Failed with the code and the class of failure. What follows is decided in
`workers.retry`, carried out by the drain.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: limited     wait as told; costs no attempt
#: transient   the other side could not answer; asking later may help
#: ambiguous   sent, answer unknown, on something that creates: find before any second create
#: permanent   the other side understood and said no; asking again changes nothing
#: credential  our key is refused: pause the destination, keep its queue, tell someone
Failure = Literal["limited", "transient", "ambiguous", "permanent", "credential"]


@dataclass(frozen=True)
class Done:
    """It happened, or had happened already."""

    #: What `next:` may read as `result`.
    result: Mapping[str, Any] = field(default_factory=dict)
    #: A word where done needs one: `already_there`, `nothing_to_cancel`.
    note: str = ""
    #: HTTP status of the request that did it, 0 where none was needed.
    status: int = 0


class Failed(Exception):
    """It did not happen, or nobody knows."""

    def __init__(self, failure: Failure, code: str, *, wait: float = 0.0, status: int = 0, hint: str = "") -> None:
        super().__init__(code)
        self.failure: Failure = failure
        #: One word, always the same: the log field, the metric's label and the dead letter's reason.
        self.code = code
        #: Seconds the other side asked for (`Retry-After`), 0 if it did not.
        self.wait = wait
        self.status = status
        #: A sentence for people, without values of the person concerned and without secrets.
        self.hint = hint
