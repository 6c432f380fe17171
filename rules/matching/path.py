"""Paths into an event: `data.items[].price`, `data.additional_fields[id=12].value`, `data["Odd key"]`.

Comes in: text from a rule. Goes out: a Path, and functions that read its value from the facts, or ABSENT. Never reads
attributes or methods: a dot is followed by a key, so `data.items` is the field `items`, not a method of dict.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

from rules.source.look_alikes import nfc
from rules.source.problem import name_sign

Facts = Mapping[str, Any]
#: Reads a value from the facts.
Reader = Callable[[Facts], Any]

#: Bounds on what is parsed; paths written by hand are far shorter.
LONGEST: Final = 500  # characters
DEEPEST: Final = 20  # steps


class Absent:
    """The value of a field that does not exist. It differs from null, false and empty."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "absent"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = Absent()


@dataclass(frozen=True)
class AnyElement:
    """`[]`: any element of a list."""


@dataclass(frozen=True)
class WhereStep:
    """`[id=12]`: the first element whose `id` is 12."""

    key: str
    literal: str | int | float | bool

    def finds(self, elements: Any) -> Any:
        """Return the first such element, or ABSENT."""
        if not isinstance(elements, list):
            return ABSENT
        for element in elements:
            if isinstance(element, Mapping):
                found = _get(element, self.key)
                if found.__class__ is str:
                    found = nfc(found)
                if found == self.literal and isinstance(found, bool) is isinstance(self.literal, bool):
                    return element
        return ABSENT


@dataclass(frozen=True)
class At:
    """`[0]`: an element by its position. Allowed in values only, not in patterns."""

    position: int


Step = str | AnyElement | WhereStep | At

ANY: Final = AnyElement()

#: The mend of a position where patterns take none.
NO_POSITIONS: Final = "name the element by a field, [id=12], or take any with []"

_PLAIN = re.compile(r"[^\W\d]\w*\Z")
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,17})?\Z", re.ASCII)


class PathWrong(Exception):
    """A text is not a valid path."""

    def __init__(self, text: str, mend: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.mend = mend


@dataclass(frozen=True)
class Path:
    """A parsed path; `text` is its canonical form."""

    root: str
    steps: tuple[Step, ...] = ()

    @cached_property
    def text(self) -> str:
        """Return it as a rule writes it."""
        return self.root + "".join(_written(step) for step in self.steps)

    @property
    def list_steps(self) -> tuple[int, ...]:
        """Return the indexes of the steps `[]`."""
        return tuple(position for position, step in enumerate(self.steps) if isinstance(step, AnyElement))

    def __str__(self) -> str:
        return self.text


def _written(step: Step) -> str:
    match step:
        case AnyElement():
            return "[]"
        case WhereStep():
            return f"[{step.key}={_literal_text(step.literal)}]"
        case At():
            return f"[{step.position}]"
    return f".{step}" if _PLAIN.match(step) else f'["{_escaped(step)}"]'


def _escaped(key: str) -> str:
    return key.replace("\\", "\\\\").replace('"', '\\"')


def _literal_text(literal: str | int | float | bool) -> str:
    if isinstance(literal, bool):
        return "true" if literal else "false"
    if isinstance(literal, str):
        return literal if _PLAIN.match(literal) and literal not in ("true", "false") else f'"{_escaped(literal)}"'
    return str(literal)


#: The rules of a book ask for the same few fields over and over.
@lru_cache(maxsize=4_096)
def parse(text: str) -> Path:
    """Return the path that a text writes. Raises PathWrong."""
    if len(text) > LONGEST:
        raise PathWrong(f"a path of {len(text)} characters", f"paths have at most {LONGEST}")
    text = nfc(text)
    end = _word_end(text, 0)
    root = text[:end]
    if not _PLAIN.match(root):
        raise PathWrong(f'"{text}" is no path', "a path is words with dots between: data.email")
    steps: list[Step] = []
    position = end
    while position < len(text):
        step, position = _step(text, position)
        steps.append(step)
        if len(steps) > DEEPEST:
            raise PathWrong(f"a path of more than {DEEPEST} steps", "write a shorter one")
    return Path(root, tuple(steps))


def _word_end(text: str, start: int) -> int:
    end = start
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return end


def _refuse_unseen(text: str, position: int) -> None:
    """Raise PathWrong where an invisible sign stands at a position."""
    sign = text[position : position + 1]
    if sign and not sign.isprintable():
        raise PathWrong(f"in the path {text} stands an invisible sign, {name_sign(sign)}", "delete it")


def _step(text: str, position: int) -> tuple[Step, int]:
    """Return the step that begins at a position, and the position of the next one."""
    if text[position] == ".":
        end = _word_end(text, position + 1)
        word = text[position + 1 : end]
        if not _PLAIN.match(word):
            _refuse_unseen(text, position + 1)
            if word.isdigit():
                raise PathWrong(f'"{text}" counts elements: .{word}', f'{NO_POSITIONS}; a key is ["{word}"]')
            raise PathWrong(
                f'"{text}" is no path: no name after the dot at character {position + 1}',
                'keys that are not letters, digits and _ are written ["Odd key"], without a dot before',
            )
        return word, end
    if text[position] != "[":
        _refuse_unseen(text, position)
        raise PathWrong(
            f'"{text}" is no path: "{text[position]}" at character {position + 1}',
            'keys that are not letters, digits and _ are written ["Odd key"]',
        )
    if text.startswith("[]", position):
        return ANY, position + 2
    if text.startswith('["', position):
        key, end = _quoted(text, position + 1)
        return key, _closed(text, end)
    end = _word_end(text, position + 1)
    key = text[position + 1 : end]
    if key.isdigit():
        raise PathWrong(f'"{text}" counts elements: [{key}]', NO_POSITIONS)
    if not _PLAIN.match(key) or not text.startswith("=", end):
        raise PathWrong(f'"{text}" is no path: what is between [ and ]?', 'there is [], [id=12] and ["Odd key"]')
    if text.startswith('"', end + 1):
        literal, end = _quoted(text, end + 1)
        return WhereStep(key, literal), _closed(text, end)
    close = text.find("]", end)
    word = text[end + 1 : close] if close >= 0 else ""
    if _NUMBER.match(word):
        return WhereStep(key, float(word) if "." in word else int(word)), close + 1
    if word in ("true", "false"):
        return WhereStep(key, word == "true"), close + 1
    if _PLAIN.match(word):
        return WhereStep(key, word), close + 1
    raise PathWrong(f'"{text}" is no path: what is after "{key}="?', f'write a number, a word or [{key}="any text"]')


def _quoted(text: str, position: int) -> tuple[str, int]:
    """Return the text between quotes that open at a position, and the position after them."""
    signs: list[str] = []
    position += 1
    while position < len(text):
        if text[position] == '"':
            return "".join(signs), position + 1
        if text[position] == "\\" and position + 1 < len(text):
            position += 1
        signs.append(text[position])
        position += 1
    raise PathWrong(f'"{text}" is no path: a quote is not closed', 'write ["Odd key"]')


def _closed(text: str, position: int) -> int:
    if not text.startswith("]", position):
        raise PathWrong(f'"{text}" is no path: ] is missing at character {position + 1}', 'write ["Odd key"]')
    return position + 1


def step_into(node: Any, step: Step) -> Any:
    """Return the value that one step leads to, or ABSENT. `[]` has no single value: `pattern.py` handles it."""
    if step.__class__ is str:
        if node.__class__ is dict or isinstance(node, Mapping):
            return _get(node, step)
        return ABSENT
    if isinstance(step, WhereStep):
        return step.finds(node)
    if isinstance(step, At):
        return node[step.position] if isinstance(node, list) and step.position < len(node) else ABSENT
    raise TypeError("[] is read by the pattern")


def reader_of(path: Path) -> Reader:
    """Return a function that reads the path's value from the facts, or ABSENT. The path must not have `[]`."""
    root = path.root
    if not path.steps:
        return lambda facts: _root(facts, root)
    if len(path.steps) == 1 and isinstance(path.steps[0], str) and path.steps[0].isascii():
        return _reader_of_one_key(root, path.steps[0])
    inner = follower(path.steps)
    return lambda facts: inner(_root(facts, root))


def follower(steps: Sequence[Step]) -> Callable[[Any], Any]:
    """Return a function that follows steps from a value. There must be no `[]` among them."""
    if not steps:
        return lambda node: node
    if len(steps) == 1:
        only = steps[0]
        if isinstance(only, str):
            return _key_of(only)
        return lambda node: step_into(node, only)
    known = tuple(steps)

    def follow(node: Any) -> Any:
        for step in known:
            node = step_into(node, step)
            if node is ABSENT:
                return ABSENT
        return node

    return follow


def _root(facts: Facts, root: str) -> Any:
    # By subscription, because `Facts.__missing__` parses `raw` only when it is read.
    try:
        return facts[root]
    except KeyError:
        return ABSENT


def _get(node: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key, however the sender composes its letters (`ö`, or `o` and two dots); else ABSENT."""
    found = node.get(key, ABSENT)
    if found is ABSENT and not key.isascii():
        return next((value for name, value in node.items() if nfc(name) == key), ABSENT)
    return found


def _key_of(key: str) -> Callable[[Any], Any]:
    if not key.isascii():
        return lambda node: _get(node, key) if isinstance(node, Mapping) else ABSENT

    def read(node: Any) -> Any:
        if node.__class__ is dict or isinstance(node, Mapping):
            return node.get(key, ABSENT)
        return ABSENT

    return read


def _reader_of_one_key(root: str, key: str) -> Reader:
    """Return the reader of a path such as `data.email`: the most frequent form, so it has the fastest code."""

    def read(facts: Facts) -> Any:
        try:
            node = facts[root]
        except KeyError:
            return ABSENT
        if node.__class__ is dict or isinstance(node, Mapping):
            return node.get(key, ABSENT)
        return ABSENT

    return read


def where_absent(path: Path, facts: Facts) -> tuple[str, Any]:
    """Return the shortest prefix of a path that is absent, and the value before it (ABSENT where there is none)."""
    node = _root(facts, path.root)
    if node is ABSENT:
        return path.root, ABSENT
    for count, step in enumerate(path.steps, 1):
        if isinstance(step, AnyElement):
            return path.text, node
        inner = step_into(node, step)
        if inner is ABSENT:
            return Path(path.root, path.steps[:count]).text, node
        node = inner
    return path.text, node
