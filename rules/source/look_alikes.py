"""Signs that look like others, or like nothing: curly quotes, long dashes, invisible signs, letters of other alphabets.

Comes in: the text of a file, or a part of it. Goes out: where such signs stand, and what to write. Never changes a
text, but for `nfc`: the one form in which texts of book and event are compared.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

from rules.source.problem import Severity, name_sign

#: Quotes that YAML does not know, with their straight form.
CURLY: Final = "“”„‟‘’‚‛«»‹›〝〞〟＂＇´′″‵‶❛❜❝❞"
#: These end a word, too: `Hans’`, and stand behind a number: `5′`.
_APOSTROPHES: Final = "’‘′″´＇❜"
#: Signs that look like the dash of a list, or like the minus of a number.
DASHES: Final = "–—−‐‑‒―﹣－•·"

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufeff\uffa0"
    "\ufe00-\ufe0f\ufff9-\ufffb\U000e0000-\U000e007f\u0085]"
)
#: They have a place between signs that are not ASCII: in Persian, in Hindi, and in pictures made of several.
_JOINERS: Final = "\u200c\u200d"
#: They have a place behind signs that are not ASCII, and in pictures of a key: as which picture the sign is shown.
_VARIANTS = re.compile("(?<=[^\x00-\x7f])[\ufe00-\ufe0f]|[\ufe00-\ufe0f](?=\u20e3)")
#: Letters that look like Latin ones, next to a Latin one; wide ones, and those that a PDF joins (`ﬁ`).
_FOREIGN = "Ａ-Ｚａ-ｚ\ufb00-\ufb06АВЕКМНОРСТХЅІЈасеорхуѕіјһԁԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧονι"
_MIXED = re.compile(f"(?<=[A-Za-z])[{_FOREIGN}]|[{_FOREIGN}](?=[A-Za-z])")
_CONFLICT = re.compile(r"^(?:(?:<{7}|\|{7}|>{7})(?: .*)?|={7})\r?$", re.MULTILINE)
_CUT = re.compile(r"\s+#(?:[^\s#!].*|.*\{\{.*)$")


class LookAlike(NamedTuple):
    """One place in a text."""

    #: Index of the sign in the text.
    at: int
    text: str
    mend: str
    code: str
    severity: Severity = "warning"


def nfc(text: str) -> str:
    """Return a text in the form in which texts are compared: an `ö` is one sign, not an o and two dots."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def find(text: str) -> Iterator[LookAlike]:
    """Yield the marks of a git conflict, and the signs that nobody sees for what they are."""
    if found := _CONFLICT.search(text):
        mend = "decide between the two versions, and take the lines of <, = and > out"
        yield LookAlike(found.start(), "a conflict of git stands here", mend, "git_conflict", "error")
    if text.isascii():
        return
    for found in _INVISIBLE.finditer(text):
        sign, at = found[0], found.start()
        if sign in _JOINERS and text[at - 1 : at] > "\x7f" and text[at + 1 : at + 2] > "\x7f":
            continue
        if _VARIANTS.match(text, at):
            continue
        mend = f'delete it; where it is meant, write "\\u{ord(sign):04X}" inside double quotes'
        yield LookAlike(at, f"an invisible sign stands here, {name_sign(sign)}", mend, "invisible_sign")
    for found in _MIXED.finditer(text):
        what = f'the "{found[0]}" here is {name_sign(found[0])}, between Latin letters'
        yield LookAlike(found.start(), what, "write the Latin letter", "foreign_letter")


def curly_quotes(text: str) -> str:
    """Return the quotes that YAML takes for a part of a text which begins and ends with them, or has one half of them.

    An apostrophe at one end alone is none.
    """
    if len(text) > 1 and text[0] in CURLY and text[-1] in CURLY:
        return f"{text[0]} and {text[-1]}"
    ends = {sign for sign in (text[0], text[-1]) if sign in CURLY and sign not in _APOSTROPHES}
    return ends.pop() if ends and sum(sign in CURLY for sign in text) == 1 else ""


def is_dashed(text: str) -> bool:
    """Return whether a text begins like an entry of a list, with a dash that YAML does not know."""
    return text[:1] in tuple(DASHES) and text[1:2] in (" ", "\u00a0")


def is_cut(rest: str) -> bool:
    """Return whether what follows a text on its line is a comment that was probably meant as text: ` #12`."""
    return _CUT.match(rest) is not None


#: Texts that other readers of YAML take for true, false or null, and numbers as people write them.
_BOOLEAN: Final = frozenset({"true", "false", "yes", "no", "on", "off"})
_NULL: Final = frozenset({"null", "~", "none", "nil"})
_NUMBER = re.compile(r"[+-]?(?:\d+,\d{1,2}|\.\d+|\d{1,3}(?:_\d{3})+|0[xob][0-9a-fA-F]+)\Z", re.ASCII)
#: With a minus or digits of another alphabet.
_ODD_NUMBER = re.compile(f"[+{DASHES}-]?\\d+(?:[.,]\\d+)?\\Z")


#: Longer texts look like nothing but text.
_LONGEST_TYPED = 20


def typed_mend(text: str) -> str:
    """Return how to write what this text looks like, `true` for `TRUE`; empty where it looks like text."""
    if len(text) > _LONGEST_TYPED:
        return ""
    word = text.lower()
    if word in _NULL:
        return "null"
    if word in _BOOLEAN:
        return "true" if word in ("true", "yes", "on") else "false"
    odd = not text.isascii() and _ODD_NUMBER.match(text)
    return "a number as 19.99" if odd or _NUMBER.match(text) else ""
