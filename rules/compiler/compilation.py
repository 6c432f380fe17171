"""Compiles the files of a book.

Comes in: the bytes of each file and the catalogue of what exists. Goes out: a Checked with the Rulebook and every
problem found, each with its position in the file; the Rulebook is None if any problem is an error. Never opens a file,
and never stops at the first problem.
"""

import codecs
import gc
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import create_model

from rules.catalogue import Catalogue
from rules.compiler import echo_pairs, lint, rules_section, sandbox_book, systems_section, tests_section
from rules.compiler.draft import Draft
from rules.rulebook import AlertSettings, Rulebook
from rules.source import yaml_document
from rules.source.node import Node
from rules.source.problem import MOST_PROBLEMS, MOST_WARNINGS, Problem, is_full

SECTIONS = ("country", "business_hours", "sources", "destinations", "alerts", "vars", "defaults", "rules", "tests")


@dataclass(frozen=True)
class Checked:
    """The result of a compile: the problems found, and the Rulebook if none of them is an error."""

    book: Rulebook | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the book from being used."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that do not keep the book from being used."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")


def version_of(files: Mapping[str, bytes]) -> str:
    """Return the version of a book: a short hash of names and contents, whether they are right or not."""
    whole = hashlib.sha256()
    for name in sorted(files):
        content = files[name].removeprefix(codecs.BOM_UTF8)
        whole.update(f"{name}\0{len(content)}\0".encode())
        whole.update(content)
    return whole.hexdigest()[:12]


def compile_book(files: Mapping[str, bytes], catalogue: Catalogue) -> Checked:
    """Compile the files of a book."""
    collecting = gc.isenabled()
    # A compile creates hundreds of thousands of objects and drops none, so garbage collection would double its time.
    gc.disable()
    try:
        return _compile(files, catalogue)
    finally:
        if collecting:
            gc.enable()


def _sections(top: Node) -> dict[str, Node]:
    """Return the sections of a file. Notes a list without its `rules:` above it."""
    if isinstance(top.value, list):
        first = top.value[0] if top.value else None
        word = "tests" if isinstance(first, dict) and "given" in first else "rules"
        mend = f"write {word}: above it, and indent the list"
        top.wrong("a book file must be a mapping, not a list", mend, "wrong_shape")
        return {}
    if isinstance(top.value, dict) and "then" in top.value:
        top.wrong(
            "a rule stands here without rules:", "write rules: above it, and a dash before its name", "wrong_shape"
        )
        return {}
    return top.mapping(SECTIONS, "a book file")


def _compile(files: Mapping[str, bytes], catalogue: Catalogue) -> Checked:
    draft = Draft(catalogue)
    tops: list[dict[str, Node]] = []
    for name in sorted(files):
        doc = yaml_document.read(files[name], name, draft.problems)
        if doc is not None and doc.value is not None:
            top = Node(doc, (), doc.value, draft.problems)
            tops.append(_sections(top))
    for parts in tops:
        systems_section.read_constants(draft, parts.get("vars"))
    if draft.constants:
        draft.constants_model = create_model("Vars", **dict.fromkeys(draft.constants, (Any, None)))  # type: ignore[call-overload]
    for parts in tops:
        systems_section.read_destinations(draft, parts.get("destinations"))
        systems_section.read_country(draft, parts.get("country"))
        systems_section.read_business_hours(draft, parts.get("business_hours"))
    for parts in tops:
        systems_section.read_sources(draft, parts.get("sources"))
        systems_section.read_alerts(draft, parts.get("alerts"))
    echo_pairs.read_pairs(draft)
    for parts in tops:
        rules_section.read_rules(draft, parts.get("rules"), parts.get("defaults"))
    for parts in tops:
        tests_section.read_tests(draft, parts.get("tests"))
    lint.check_rules(draft)
    lint.check_sources(draft)
    if is_full(draft.problems):
        text = f"there are more problems than these {MOST_PROBLEMS}"
        draft.problems.append(Problem(draft.problems[0].file, 1, 1, text, "mend these first", "too_many_problems"))
    elif is_full(draft.problems, "warning"):
        text = f"there may be more warnings than these {MOST_WARNINGS}"
        first = draft.problems[0].file
        draft.problems.append(Problem(first, 1, 1, text, "mend these first", "too_many_warnings", "warning"))
    problems = tuple(sorted(set(draft.problems)))
    if any(problem.severity == "error" for problem in problems):
        return Checked(None, problems)
    texts = {name: files[name].decode("utf-8-sig") for name in sorted(files)}
    book = Rulebook(
        version=version_of(files),
        files=texts,
        sources=draft.sources,
        destinations=draft.destinations,
        rules=tuple(written.rule for written in draft.written if written.rule is not None),
        tests=tuple(draft.tests),
        alerts=draft.alerts or AlertSettings(),
        constants=draft.constants,
        business_hours=draft.business_hours,
        catalogue=catalogue,
    )
    return Checked(sandbox_book.lead(book, catalogue) if catalogue.sandbox else book, problems)
