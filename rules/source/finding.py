"""What is wrong with a pattern or a value, before it has a place in a file.

Comes in: what the compilers of patterns and values saw. Goes out: findings with their path inside the node; the loader
turns them into problems with line and column. Never shows a value of a person.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """Something wrong or doubtful inside one YAML node."""

    #: Where: keys and positions from the node inwards; `("data.total", "gt")`.
    at: tuple[str | int, ...]
    text: str
    mend: str = ""
    code: str = "wrong"
    severity: Literal["error", "warning"] = "error"
