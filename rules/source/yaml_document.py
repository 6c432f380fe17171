"""A strict YAML reader that keeps line and column of every key and value.

Comes in: the bytes of a file. Goes out: plain values, and the positions of keys and values, so that later problems can
be reported at their line. Never guesses: only `true`, `false`, `null` and plain numbers are typed, everything else is
text; duplicate keys, tabs, unquoted `{{ }}` and `*` are problems, each with its own mend.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from rules.source import look_alikes
from rules.source.problem import Problem, Severity, is_full, name_sign

#: The C parser is ten times as fast and part of every wheel; the fallback is for a PyYAML built without it.
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: A path in a document: keys of mappings and positions in lists, from the top.
Path = tuple[str | int, ...]

#: Bounds on a file. Ten thousand rules are about 3 MB and 300,000 values.
MAX_BYTES = 8_000_000
MAX_VALUES = 600_000
#: Bound on nesting. A book with three levels of `next` nests about twenty deep.
MAX_DEPTH = 64
#: Bound on values added by aliases, against exponential expansion ("billion laughs").
MAX_COPIED = 100_000

#: Characters of a line that are examined for the cause of a syntax error.
LONGEST_LINE = 2_000

NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?\Z")
_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None, "": None}
_UNQUOTED_TEMPLATE = re.compile(r"(?:^\s*|[:\-,\[{]\s+)\{\{|\{%")
_UNQUOTED_STAR = re.compile(r"(?:[:\-,]\s+|\[\s*)\*")
_UNQUOTED_SIGN = re.compile(r"(?:[:\-,]\s+|\[\s*)([@`%&!|>])")
_UNQUOTED_BRACE = re.compile(r"[\[,]\s*[^\s\[\],]*\$\{")
_WIDE_COLON = re.compile("\uff1a|\ufe55|\ua789")
_HARD_SPACE = re.compile(r"^[ -]*\u00a0|[:-]\u00a0")
#: A text that begins with a straight quote and ends with a curly one, or the other way round.
_MIXED_QUOTES = re.compile(
    f"[\"'][^\"']*(?P<end>[{look_alikes.CURLY}])\\s*$|(?P<begin>[{look_alikes.CURLY}])[^\"']*[\"']\\s*$"
)
#: Lines before a syntax error that are examined for the quote that opened it.
_LINES_BEFORE = 30

QUOTE_TEMPLATE = 'put the whole value in double quotes: "{{ data.email }}"'
ORDINARY_SPACE = "put an ordinary space there: this one was copied from a web page or a text program"
QUOTE_BRACE = 'put it in quotes: ["${NAME}"], or write one entry per line, each after a dash'
QUOTE_STAR = 'put text that starts with * in quotes: "*@example.org"'


@dataclass(frozen=True)
class Position:
    """A position in a file, counted from 1."""

    file: str
    line: int = 1
    column: int = 1


@dataclass
class Document:
    """The value of a file, and the positions in it."""

    file: str
    value: Any = None
    #: For each mapping and list (by its identity): key or position -> line and column of key and of value, from 0.
    _marks: dict[int, dict[str | int, tuple[int, int, int, int]]] = field(default_factory=dict)
    _start: tuple[int, int] = (0, 0)
    #: Line and column of texts without quotes that look like another type: `TRUE`, `~`.
    _typed: set[tuple[int, int]] = field(default_factory=set)

    #: Values that others took the place of: their identities are keys of `_marks`, and must not be given to others.
    _replaced: list[Any] = field(default_factory=list)

    def merge(self, path: Path, key: str, shared: Path) -> None:
        """Put the entries of the mapping at `shared` into the mapping `key` at `path`, where it has no own ones.

        The mapping at `path` must stand in a list. Positions stay those in the file.
        """
        others, parent = self._value(shared), self._value(path[:-1])
        node = parent[path[-1]]
        own = node.get(key) or {}
        marks = self._marks
        merged = {**others, **own}
        marks[id(merged)] = {**marks.get(id(others), {}), **marks.get(id(own), {})}
        changed = {**node, key: merged}
        marks[id(changed)] = {key: marks[id(self._value(shared[:-1]))][shared[-1]], **marks[id(node)]}
        self._replaced += [node, own]
        parent[path[-1]] = changed

    def _value(self, path: Path) -> Any:
        value = self.value
        for step in path:
            value = value[step]
        return value

    def is_typed(self, path: Path) -> bool:
        """Return whether the text at `path` has no quotes and looks like true, false, null or a number."""
        where = self.where(path)
        return (where.line - 1, where.column - 1) in self._typed

    def where(self, path: Path = (), *, key: bool = False) -> Position:
        """Return the position of the value at `path` (or of its key), or of the nearest existing value above it."""
        value = self.value
        line, column = self._start
        for at, step in enumerate(path):
            mark = self._marks.get(id(value), {}).get(step)
            if mark is None:
                break
            last = at == len(path) - 1
            line, column = mark[:2] if last and key else mark[2:]
            value = value[step]
        return Position(self.file, line + 1, column + 1)


class _Stop(Exception):
    """Ends the reading of a file. The problem has been reported."""


def read(content: bytes, file: str, problems: list[Problem]) -> Document | None:
    """Read a file. Problems are added to `problems`; returns None if it cannot be read to its end."""
    text = _decoded(content, file, problems)
    if text is None:
        return None
    reading = _DocumentReader(file, text, problems)
    try:
        return reading.document()
    except _Stop:
        return None


def scalar(text: str) -> str | int | float | bool | None:
    """Return the value of an unquoted scalar: true, false, null, a plain number, else text."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "-0123456789" and NUMBER.match(text):
        number = float(text)
        if number in (float("inf"), float("-inf")):
            return text
        return number if any(sign in text for sign in ".eE") else int(text)
    return text


def _decoded(content: bytes, file: str, problems: list[Problem]) -> str | None:
    if len(content) > MAX_BYTES:
        problems.append(Problem(file, 1, 1, f"the file is larger than {MAX_BYTES // 1_000_000} MB", code="too_large"))
        return None
    try:
        return look_alikes.nfc(content.decode("utf-8-sig"))
    except UnicodeDecodeError as exc:
        before = content[: exc.start]
        line = before.count(b"\n")
        column = len(before) - (before.rfind(b"\n") + 1)
        problems.append(
            Problem(file, line + 1, column + 1, "the file is not UTF-8", "save it as UTF-8", code="not_utf8")
        )
        return None


class _DocumentReader:
    """Reads one file in one pass over the parser's events."""

    def __init__(self, file: str, text: str, problems: list[Problem]) -> None:
        self.file = file
        self.text = text
        self.problems = problems
        self.doc = Document(file)
        self.anchors: dict[str, Any] = {}
        self.open_anchors: set[str] = set()
        self.sizes: dict[int, int] = {}
        self.copied = 0
        self.count = 0
        self.lines: list[str] | None = None
        #: Texts without quotes are looked at for a comment that cuts them only if there is any.
        self.has_comments = " #" in text
        #: Spans (first line, last line) in which a tab is text: quoted and block scalars.
        self.quoted: list[tuple[int, int]] = []

    def document(self) -> Document:
        """Read the file to its end."""
        self.look_alikes()
        events = self.events()
        started = False
        for event in events:
            if isinstance(event, DocumentStartEvent):
                if started:
                    self.wrong(event, "a second document starts here", "keep one document a file", "second_document")
                    raise _Stop
                started = True
                first = next(events)
                self.doc._start = _start(first)
                self.doc.value = self.value(first, events, 0)
        self.tabs()
        return self.doc

    def events(self) -> Iterator[Event]:
        """Yield the parser's events; its errors become problems."""
        try:
            parser = _PARSER(self.text)
            while parser.check_event():
                yield cast(Event, parser.get_event())
        except yaml.reader.ReaderError as exc:
            before = self.text[: exc.position]
            line = before.count("\n")
            self.note(line, len(before) - (before.rfind("\n") + 1), "a control character", "delete it", "bad_character")
            raise _Stop from None
        except yaml.MarkedYAMLError as exc:
            mark = exc.problem_mark or exc.context_mark
            self.syntax(mark.line if mark else 0, mark.column if mark else 0, exc.problem or "not YAML")
            raise _Stop from None
        except (yaml.YAMLError, ValueError):
            self.note(0, 0, "this is not YAML", "", "not_yaml")
            raise _Stop from None

    def value(self, event: Event, events: Iterator[Event], depth: int) -> Any:
        """Return the value that starts with `event`."""
        if isinstance(event, AliasEvent):
            return self.alias(event)
        anchor = getattr(event, "anchor", None)
        self.count += 1
        if self.count > MAX_VALUES:
            self.wrong(event, f"the file has more than {MAX_VALUES} values", "split the book", "too_large")
            raise _Stop
        if depth > MAX_DEPTH:
            self.wrong(event, f"this is nested more than {MAX_DEPTH} deep", "", "too_deep")
            raise _Stop
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            self.wrong(event, f"the tag {tag} has no meaning in a book", "leave it out", "tag")
        if anchor:
            self.open_anchors.add(anchor)
        if isinstance(event, ScalarEvent):
            value: Any = self.scalar(event)
        elif isinstance(event, SequenceStartEvent):
            value = self.sequence(events, depth)
        else:
            value = self.mapping(events, depth)
        if anchor:
            self.open_anchors.discard(anchor)
            self.anchors[anchor] = value
        return value

    def scalar(self, event: ScalarEvent) -> Any:
        text = event.value
        if event.style:
            self.quoted.append((_start(event)[0], _end(event)[0]))
            return text
        if "{{" in text or "{%" in text:
            what = "these are curly quotes, " if text[0] in look_alikes.CURLY else ""
            self.wrong(event, f"{what}this template is not quoted", QUOTE_TEMPLATE, "unquoted_template")
        elif self.has_comments or not text.isascii():
            self.plain(event, text)
        if not text.isascii() and (spaces := [sign for sign in text if sign.isspace() and sign > "\x7f"]):
            where, mend = "begins or ends with", "delete it"
            if text == text.strip():
                where, mend = "has inside a", "write an ordinary space; if it is meant, put the text in quotes"
            self.doubt(event, f"this text {where} {name_sign(spaces[0])}", mend, "hard_space")
        value = scalar(text)
        if value.__class__ is str and look_alikes.typed_mend(text):
            self.doc._typed.add(_start(event))
        return value

    def plain(self, event: ScalarEvent, text: str) -> None:
        """Report what looks like something else in a text without quotes: curly quotes, a dash, a comment in it."""
        if not text.isascii():
            if quotes := look_alikes.curly_quotes(text):
                several = " and " in quotes
                self.doubt(
                    event,
                    f"the curly quote{'s' * several} {quotes} {'are' if several else 'is'} part of this text",
                    f'write straight quotes: "{text.strip(look_alikes.CURLY)}"',
                    "curly_quotes",
                )
            line, column = _start(event)
            if look_alikes.is_dashed(text) and not self.line(line)[:column].strip():
                self.wrong(event, f"this dash is {name_sign(text[0])}", "start each entry with a plain -", "odd_dash")
        line, column = _end(event)
        if self.has_comments and text and look_alikes.is_cut(self.line(line)[column:]):
            self.doubt(
                event,
                f'everything after # is a comment, so this text is only "{text}"',
                "put the whole text in quotes; or write a blank after #, if it is a comment",
                "cut_by_comment",
            )

    def empty(self, event: Event, before: Event) -> None:
        """Report a value that a comment has eaten as a whole: `color: #ff0000`."""
        if self.has_comments and isinstance(event, ScalarEvent) and not event.style and not event.value:
            line, column = _end(before)
            rest = self.line(line)[column:].lstrip(":")
            if look_alikes.is_cut(rest):
                text = "everything after # is a comment, so there is no value here"
                mend = "put the value in quotes; or write a blank after #, if it is a comment"
                self.note(line, column, text, mend, "cut_by_comment", "warning")

    def look_alikes(self) -> None:
        """Report what nobody sees in the text. Raises _Stop at a git conflict: nothing after it is what it seems."""
        for found in look_alikes.find(self.text):
            before = self.text.count("\n", 0, found.at)
            column = found.at - (self.text.rfind("\n", 0, found.at) + 1)
            self.note(before, column, found.text, found.mend, found.code, found.severity)
            if found.severity == "error":
                raise _Stop

    def sequence(self, events: Iterator[Event], depth: int) -> list[Any]:
        values: list[Any] = []
        marks: dict[str | int, tuple[int, int, int, int]] = {}
        size = 1
        for event in events:
            if isinstance(event, SequenceEndEvent):
                break
            marks[len(values)] = _start(event) * 2
            value = self.value(event, events, depth + 1)
            size += self.sizes.get(id(value), 1)
            values.append(value)
            if value is None:
                self.empty(event, event)
        self.doc._marks[id(values)] = marks
        self.sizes[id(values)] = size
        return values

    def mapping(self, events: Iterator[Event], depth: int) -> Any:
        values: dict[str, Any] = {}
        marks: dict[str | int, tuple[int, int, int, int]] = {}
        merged: list[Any] = []
        template = None
        size = 1
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            if not isinstance(event, ScalarEvent):
                template = self.odd_key(event)
                self.value(event, events, depth + 1)
                self.value(next(events), events, depth + 1)
                continue
            key = event.value
            plain = not event.style
            if not plain:
                self.quoted.append((_start(event)[0], _end(event)[0]))
            elif "{{" in key:
                self.wrong(event, "this template is not quoted", QUOTE_TEMPLATE, "unquoted_template")
            elif not key.isascii():
                self.plain(event, key)
            following = next(events)
            value = self.value(following, events, depth + 1)
            if value is None:
                self.empty(following, event)
            size += self.sizes.get(id(value), 1)
            if plain and key == "<<":
                merged += value if isinstance(value, list) else [value]
                if not all(isinstance(each, dict) for each in merged):
                    self.wrong(following, "<< merges mappings only", "name an anchor of a mapping", "bad_merge")
                continue
            if key in values:
                first = marks[key][0] + 1
                self.wrong(
                    event,
                    f'the key "{key}" is here a second time, first on line {first}',
                    "keep one of them; several values for one field are a list",
                    "duplicate_key",
                )
                continue
            values[key] = value
            marks[key] = (*_start(event), *_start(following))
        if template:
            return template
        for each in merged:
            if isinstance(each, dict):
                for key, value in each.items():
                    if key not in values:
                        values[key] = value
                        marks[key] = self.doc._marks[id(each)][key]
        self.doc._marks[id(values)] = marks
        self.sizes[id(values)] = size
        return values

    def alias(self, event: AliasEvent) -> Any:
        name = event.anchor
        if name in self.open_anchors:
            self.wrong(event, f"*{name} contains itself", "write the inner one out", "recursive_alias")
            raise _Stop
        if name not in self.anchors:
            self.wrong(
                event,
                f"*{name} names an anchor that is not defined above",
                f"{QUOTE_STAR}, or define &{name} first",
                "unquoted_star",
            )
            return None
        value = self.anchors[name]
        self.copied += self.sizes.get(id(value), 1)
        if self.copied > MAX_COPIED:
            self.wrong(
                event, f"aliases add up to more than {MAX_COPIED} values", "write less with anchors", "too_many_aliases"
            )
            raise _Stop
        return value

    def odd_key(self, event: Event) -> str | None:
        """Report a key that is a mapping or list. If it is an unquoted template, return its text to go on with."""
        line, column = _start(event)
        if "{{" in self.line(line)[max(column - 1, 0) : column + 2]:
            self.note(line, max(column - 1, 0), "this template is not quoted", QUOTE_TEMPLATE, "unquoted_template")
            start = max(column - 1, 0)
            end = self.line(line).find("}}", start)
            return self.line(line)[start : end + 2] if end > 0 else "{{ }}"
        self.wrong(event, "a key must be a word", "put text with special signs in quotes", "odd_key")
        return None

    def syntax(self, line: int, column: int, what: str) -> None:
        """Report a syntax error with its most likely cause, guessed from the text of its line and those before."""
        for at in (line, line - 1):
            text = self.line(at)
            bare = _without_quoted(text)
            if "\t" in bare.split("#")[0]:
                column = text.index("\t")
                self.note(at, column, "there is a tab here", "use spaces", "tab")
                return
            if found := _HARD_SPACE.search(text):
                self.note(at, found.end() - 1, "there is a no-break space here", ORDINARY_SPACE, "hard_space")
                return
            if found := _UNQUOTED_TEMPLATE.search(bare):
                self.note(
                    at, _first_sign(bare, found), "this template is not quoted", QUOTE_TEMPLATE, "unquoted_template"
                )
                return
            if found := _UNQUOTED_STAR.search(bare):
                self.note(at, found.end() - 1, "this text starts with * and is not quoted", QUOTE_STAR, "unquoted_star")
                return
            if found := _UNQUOTED_BRACE.search(bare):
                self.note(at, found.end() - 2, "${ } in a [ ] list is not quoted", QUOTE_BRACE, "unquoted_sign")
                return
            if found := _UNQUOTED_SIGN.search(bare):
                self.note(
                    at,
                    found.end() - 1,
                    f"this text starts with {found[1]} and is not quoted",
                    "put it in quotes",
                    "unquoted_sign",
                )
                return
            if found := _WIDE_COLON.search(text):
                self.note(at, found.start(), f"a {name_sign(found[0])} stands here", "write a plain :", "odd_sign")
                return
        for at in range(line, max(line - _LINES_BEFORE, -1), -1):
            if found := _MIXED_QUOTES.search(self.line(at)):
                sign = found["begin"] or found["end"]
                column = found.start("begin" if found["begin"] else "end")
                self.note(at, column, f"a {name_sign(sign)} stands here", "write straight quotes", "curly_quotes")
                return
        mend = "check indentation, colons and quotes on this line and the one above"
        if "mapping values" in what:
            mend = "put text that contains a colon and a space in quotes, or check the indentation"
        self.note(line, column, f"this is not YAML: {what}", mend, "not_yaml")

    def tabs(self) -> None:
        """Report tabs outside quoted texts and comments, and no-break spaces used as indentation."""
        if "\t" not in self.text and "\u00a0" not in self.text:
            return
        inside: set[int] = set()
        for first, last in self.quoted:
            inside.update(range(first, last + 1))
        for number, line in enumerate(self.text.splitlines()):
            if number in inside:
                continue
            if "\t" in line.split("#")[0]:
                self.note(number, line.index("\t"), "there is a tab here", "use spaces", "tab")
            if found := _HARD_SPACE.search(line):
                self.note(number, found.end() - 1, "there is a no-break space here", ORDINARY_SPACE, "hard_space")

    def line(self, number: int) -> str:
        """Return a line of the file, cut to LONGEST_LINE."""
        if self.lines is None:
            self.lines = self.text.split("\n")
        return self.lines[number][:LONGEST_LINE] if 0 <= number < len(self.lines) else ""

    def wrong(self, event: Event, text: str, mend: str, code: str) -> None:
        self.note(*_start(event), text, mend, code)

    def doubt(self, event: Event, text: str, mend: str, code: str) -> None:
        self.note(*_start(event), text, mend, code, "warning")

    def note(self, line: int, column: int, text: str, mend: str, code: str, severity: Severity = "error") -> None:
        problem = Problem(self.file, line + 1, column + 1, text, mend, code, severity)
        if is_full(self.problems, severity):
            if severity == "warning":
                return
            raise _Stop
        if problem not in self.problems[-3:]:
            self.problems.append(problem)


def _start(event: Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line, mark.column) if mark else (0, 0)


def _end(event: Event) -> tuple[int, int]:
    mark = event.end_mark
    return (mark.line, mark.column) if mark else (0, 0)


def _without_quoted(line: str) -> str:
    """Return the line with quoted texts replaced by blanks of the same length."""
    return re.sub(r"\"[^\"]*\"|'[^']*'", lambda found: '"' + " " * (len(found[0]) - 2) + '"', line)


def _first_sign(line: str, found: re.Match[str]) -> int:
    return line.index("{", found.start())
