"""Faults that the sandbox is told to inject.

Comes in: faults posted to `/_sandbox/faults`. Goes out: for a call the first fault that applies to it, or None. Never
answers a request: `sandbox.gate` injects the fault.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from sandbox.calls import VendorCall


class FaultUnknown(Exception):
    """A fault is not valid; the text says what is allowed."""


@dataclass
class SandboxFault:
    """One fault: which calls it applies to, how often, and what happens to them."""

    vendor: str
    #: None applies to all. `path` is a glob below the vendor's prefix or from the root, `object` a glob for the object.
    method: str | None = None
    path: str | None = None
    object: str | None = None
    #: The status of the answer instead of the vendor's own. Without `body`, the body is an error in the vendor's form.
    status: int | None = None
    body: str | None = None
    content_type: str | None = None
    retry_after: str | None = None
    #: Seconds to wait before the vendor handles the call; with `after_effect`, before it answers.
    delay: float = 0.0
    #: True: the connection is torn down (TCP RST) instead of an answer.
    reset: bool = False
    #: True: the vendor handles the call first and then fails, so that the caller cannot know the outcome.
    after_effect: bool = False
    #: The number of calls it still applies to; None: all until it is cleared.
    times: int | None = 1
    #: The number of calls it has applied to.
    met: int = 0

    def meets(self, vendor: str, prefix: str, call: VendorCall, touched: str | None) -> bool:
        """Return whether it applies to this call."""
        return (
            self.vendor in (vendor, "*")
            and self.times != 0
            and self.method in (None, call.method)
            and (self.path is None or fnmatchcase(call.path, self.path) or fnmatchcase(prefix + call.path, self.path))
            and (self.object is None or fnmatchcase(touched or "", self.object))
        )

    @property
    def fails(self) -> bool:
        """Whether it replaces the answer; False: it only delays."""
        return self.reset or self.status is not None


def read(order: Mapping[str, Any], vendors: frozenset[str]) -> SandboxFault:
    """Parse a posted fault. Raises FaultUnknown."""
    names = {name for name in SandboxFault.__dataclass_fields__ if name != "met"}
    if strange := sorted(set(order) - names):
        raise FaultUnknown(f"no fault has {', '.join(strange)}; there are {', '.join(sorted(names))}")
    if order.get("vendor") not in vendors | {"*"}:
        raise FaultUnknown(f"vendor must be one of {', '.join(sorted(vendors))} or *")
    kinds: dict[str, type | tuple[type, ...]] = {
        "status": int,
        "delay": (int, float),
        "reset": bool,
        "after_effect": bool,
        "times": int,
    }
    for name, value in order.items():
        kind = kinds.get(name, (str, int))
        if value is not None and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
            raise FaultUnknown(f"{name} cannot be {value!r}")
    fault = SandboxFault(**{name: value for name, value in order.items() if value is not None or name == "times"})
    if fault.method is not None:
        fault.method = fault.method.upper()
    if fault.retry_after is not None:
        fault.retry_after = str(fault.retry_after)
    if fault.status is not None and not 100 <= fault.status <= 599:
        raise FaultUnknown(f"status {fault.status} is no HTTP status")
    if not fault.fails and not fault.delay:
        raise FaultUnknown("a fault needs a status, a delay or reset: true")
    return fault


class SandboxFaults:
    """The active faults, in the order in which they were posted."""

    def __init__(self) -> None:
        self._orders: list[SandboxFault] = []

    def add(self, fault: SandboxFault) -> None:
        """Put a fault at the end of the list."""
        self._orders.append(fault)

    def take(self, vendor: str, prefix: str, call: VendorCall, touched: str | None) -> SandboxFault | None:
        """Return the first fault that applies to the call, and count it."""
        for fault in self._orders:
            if fault.meets(vendor, prefix, call, touched):
                fault.met += 1
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def clear(self, vendor: str | None = None) -> None:
        """Remove all faults, or those of one vendor."""
        self._orders = [fault for fault in self._orders if vendor is not None and fault.vendor != vendor]

    def listed(self) -> list[dict[str, Any]]:
        """Return all faults, including those used up, as JSON values."""
        return [asdict(fault) for fault in self._orders]
