"""Something wrong with a pattern or a value, located by its path inside the YAML node.

Comes in: what the compilers of patterns and values find. Goes out: findings, which `Node.note` turns into problems with
file, line and column. Never holds a value of a person.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One error or warning inside one YAML node."""

    #: Keys and list positions from the node inwards: `("data.total", "gt")`.
    at: tuple[str | int, ...]
    text: str
    mend: str = ""
    code: str = "wrong"
    severity: Literal["error", "warning"] = "error"
