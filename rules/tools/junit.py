"""JUnit's XML, which CI systems show: a suite with its cases.

Comes in: what was tried, and what was wrong with it. Goes out: XML. Never knows what a test is about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree


@dataclass(frozen=True)
class JUnitCase:
    """One case of a suite."""

    name: str
    classname: str
    #: What was wrong, in a few words; empty: nothing.
    failure: str = ""
    #: More about it.
    text: str = ""
    #: Further attributes: file, line, time.
    more: Mapping[str, str] = field(default_factory=dict)


def write(suite: str, cases: Sequence[JUnitCase]) -> str:
    """Return the XML of a suite."""
    failures = sum(bool(case.failure) for case in cases)
    root = ElementTree.Element("testsuite", name=suite, tests=str(len(cases)), failures=str(failures), errors="0")
    for case in cases:
        names = {"name": _printable(case.name), "classname": case.classname}
        element = ElementTree.SubElement(root, "testcase", names | dict(case.more))
        if case.failure:
            failure = ElementTree.SubElement(element, "failure", message=_printable(case.failure))
            failure.text = _printable(case.text)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _printable(text: str) -> str:
    """Return a text without the signs that XML cannot hold."""
    return "".join(sign if sign == "\n" or sign.isprintable() else "?" for sign in text)
