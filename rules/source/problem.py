"""An error or warning about a book: position, text, and how to mend it.

Comes in: what loader and checks find. Goes out: one line for people; JSON, SARIF or GitHub annotations for machines.
Never shows a secret.
"""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any, Literal

Severity = Literal["error", "warning"]

#: No more problems than this are collected; a hostile file could cause millions.
MOST_PROBLEMS = 500
#: Warnings are collected up to here: they must not take the place of errors, nor keep a book from being used.
MOST_WARNINGS = 200
#: Characters of a text or a mend that are shown.
LONGEST = 600
#: Characters of a word that are compared for suggestions: the cost of a comparison is quadratic.
LONGEST_WORD = 100
#: Known words that are named where none of them is near.
MOST_LISTED = 12


@dataclass(frozen=True, order=True)
class Problem:
    """One error or warning."""

    #: Name of the file inside the book; line and column count from 1.
    file: str
    line: int
    column: int
    #: What is wrong, in one sentence.
    text: str
    #: How to mend it; empty where the text says it already.
    mend: str = ""
    #: A short code that never changes: `unknown_action`.
    code: str = "wrong"
    severity: Severity = "error"

    def __str__(self) -> str:
        """Return it on one line, as compilers do, so that editors can jump to it."""
        mark = "" if self.severity == "error" else "warning: "
        mend = f"; {self.mend}" if self.mend else ""
        return f"{self.file}:{self.line}:{self.column} {mark}{on_one_line(self.text)}{on_one_line(mend)}"

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def is_full(problems: Sequence[Problem], severity: Severity = "error") -> bool:
    """Return whether no further problem is collected: with so many errors the check may stop."""
    return len(problems) >= (MOST_PROBLEMS if severity == "error" else MOST_WARNINGS)


def on_one_line(text: str) -> str:
    """Return text on one line, cut to LONGEST: it may quote a file. A sign that nobody sees is shown as `U+200B`."""
    shown = "".join(sign if sign.isprintable() else " " if sign.isspace() else _code(sign) for sign in text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def name_sign(sign: str) -> str:
    """Return the code point of a sign, with its name: `U+200B (zero width space)`."""
    return f"{_code(sign)} ({unicodedata.name(sign, 'no name').lower()})"


def _code(sign: str) -> str:
    return f"U+{ord(sign):04X}"


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """Return the mend for an unknown word: the nearest known one, else `otherwise`, else the list of known ones."""
    words = sorted(known)
    if (near := find_nearest(word, words)) is not None:
        return f'did you mean "{near}"?'
    if otherwise:
        return otherwise
    if not words:
        return ""
    return "there is " + listed(words)


def find_nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant: `tax_rate` for `tax`, `email` for `emial`; None: none of them."""
    words = sorted(known)
    lower = {each.lower(): each for each in words}
    if word.lower() in lower:
        return lower[word.lower()]
    longer = [each for each in words if each.startswith(f"{word.lower()}_")]
    if len(longer) == 1:
        return longer[0]
    near = get_close_matches(word[:LONGEST_WORD], words, n=1, cutoff=0.6)
    return near[0] if near else None


def listed(words: Sequence[str]) -> str:
    """Return the words separated by commas, at most MOST_LISTED."""
    more = f" and {len(words) - MOST_LISTED} more" if len(words) > MOST_LISTED else ""
    return ", ".join(words[:MOST_LISTED]) + more


def as_annotations(problems: Iterable[Problem], folder: str = "") -> str:
    """Return GitHub's annotation commands, one a line."""
    prefix = f"{folder.rstrip('/')}/" if folder else ""
    return "\n".join(
        f"::{problem.severity} file={_escaped(prefix + problem.file)},line={problem.line},col={problem.column},"
        f"title={_escaped(problem.code)}::{_escaped(problem.text + ('; ' + problem.mend if problem.mend else ''))}"
        for problem in problems
    )


def as_sarif(problems: Iterable[Problem], folder: str = "") -> str:
    """Return a SARIF 2.1.0 log."""
    prefix = f"{folder.rstrip('/')}/" if folder else ""
    found = list(problems)
    results: list[Mapping[str, Any]] = [
        {
            "ruleId": problem.code,
            "level": problem.severity,
            "message": {"text": problem.text + (f"; {problem.mend}" if problem.mend else "")},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": prefix + problem.file},
                        "region": {"startLine": problem.line, "startColumn": problem.column},
                    }
                }
            ],
        }
        for problem in found
    ]
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "relais", "rules": [{"id": code} for code in sorted({p.code for p in found})]}
                },
                "results": results,
            }
        ],
    }
    return json.dumps(log, indent=2, ensure_ascii=False)


def _escaped(text: str) -> str:
    """Escape text for an annotation command, in which %, line ends, colons and commas have a meaning."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
