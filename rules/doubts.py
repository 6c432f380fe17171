"""What is doubtful in a book, though it compiles: warnings.

Comes in: a draft with all its rules. Goes out: warnings with their places. Never an error: it may be meant.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rules.compiler import Draft


def look(draft: "Draft") -> None:
    """Note everything doubtful."""
