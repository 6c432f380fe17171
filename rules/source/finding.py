"""Something wrong with a pattern or a value, located by its path inside the YAML node.

Comes in: what the compilers of patterns and values find. Goes out: findings, which `Node.note` turns into problems with
file, line and column. Never holds a value of a person.
"""

from dataclasses import dataclass
from typing import Final, Literal

#: The code of a finding that counts only where the text has no quotes: in quotes, `"TRUE"` is meant as text.
LOOKS_TYPED: Final = "looks_typed"


@dataclass(frozen=True)
class Finding:
    """One error or warning inside one YAML node."""

    #: Keys and list positions from the node inwards: `("data.total", "gt")`.
    at: tuple[str | int, ...]
    text: str
    mend: str = ""
    code: str = "wrong"
    severity: Literal["error", "warning"] = "error"


def looks_typed(
    at: tuple[str | int, ...], text: str, meant: str, why: str = "nothing but that text is the same"
) -> Finding:
    """Return the doubt that `meant` was meant by a text: `true` by `TRUE`."""
    return Finding(
        at,
        f'"{text}" is text here, and {why}',
        f"write {meant}; if the text is meant, put it in quotes",
        LOOKS_TYPED,
        "warning",
    )
