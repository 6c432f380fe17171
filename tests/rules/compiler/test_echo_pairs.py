"""Which sources tell what is written to which destination, as a book says it or as it follows from the rest of it."""

import textwrap

import pytest

from console import catalogue
from rules.compiler import compilation
from rules.compiler.compilation import Checked
from rules.rulebook import EchoPair, Rulebook

EVERYTHING = catalogue.build()
SYSTEMS = """
sources:
  mailing:
    kind: maileon
    verify: {{none: only for this test}}
    hooks: {{api_key: "${{MAILEON_KEY}}"}}
  house:
    kind: seminardesk
    verify: {{none: only for this test}}
    api: house_api
  crm_hook:
    kind: generic
    verify: {{none: only for this test}}
    read: {{type: body.event}}
    {source}
destinations:
  newsletter: {{kind: maileon, api_key: "${{MAILEON_KEY}}", {newsletter}}}
  other_newsletter: {{kind: maileon, api_key: "${{OTHER_KEY}}"}}
  house_api: {{kind: seminardesk, base: "https://house.example.org", api_key: "${{HOUSE_KEY}}"}}
  crm: {{kind: rest, base: "https://crm.example.org", {crm}}}
"""


def checked(*, source: str = "", newsletter: str = "", crm: str = "") -> Checked:
    """Return what the check says of a book with these lines."""
    text = SYSTEMS.format(source=source, newsletter=newsletter, crm=crm)
    return compilation.compile_book({"book.yaml": textwrap.dedent(text).encode()}, EVERYTHING)


def book(**lines: str) -> Rulebook:
    """Return a book that is right."""
    found = checked(**lines)
    assert found.book is not None, "\n".join(str(problem) for problem in found.problems)
    return found.book


def pairs(found: Rulebook) -> dict[str, tuple[EchoPair, ...]]:
    """Return the pairs of each destination that has any."""
    return {name: one.echoes for name, one in found.destinations.items() if one.echoes}


def test_what_follows() -> None:
    """One key, or `api:`, makes a pair; of two of one kind only the one with the same key."""
    assert pairs(book()) == {"newsletter": (EchoPair("mailing"),), "house_api": (EchoPair("house"),)}
    assert pairs(book(source="api: crm"))["crm"] == (EchoPair("crm_hook"),)


def test_what_follows_takes_no_leave() -> None:
    """A pair that nobody has written never keeps from a third system that a person leaves."""
    assert book().echo_types == {}
    assert book(newsletter="echoes: mailing").echo_types == {"mailing": {"contact.unsubscribed"}}
    assert "contact.unsubscribed" not in book(source="api: crm").echo_types["crm_hook"]


def test_nothing_follows_where_it_is_said() -> None:
    """`echoes:` says all: an empty list that there is none."""
    assert "crm" not in pairs(book(source="api: crm", crm="echoes: []"))
    assert pairs(book(source="api: crm", crm="echoes: [house]"))["crm"] == (EchoPair("house", said=True),)


def test_types_of_a_source() -> None:
    """Types of a source's own are named; what our own types are caused by the actions know."""
    found = book(crm="echoes: {crm_hook: [customer.changed, customer.saved]}", newsletter="echo_within: 1h")
    assert pairs(found)["crm"] == (EchoPair("crm_hook", frozenset({"customer.changed", "customer.saved"}), said=True),)
    assert {"customer.changed", "contact.changed", "contact.unsubscribed"} <= found.echo_types["crm_hook"]
    assert "contact.opted_in" not in found.echo_types["crm_hook"]
    assert (found.destinations["newsletter"].echo_within, found.destinations["crm"].echo_within) == (3_600_000, 600_000)
    upsert, note = (found.action_kind("crm", name) for name in ("upsert_contact", "add_note"))
    assert upsert is not None
    assert note is not None
    (pair,) = found.destinations["crm"].echoes
    assert "contact.unsubscribed" not in pair.find_types(upsert)
    assert pair.find_types(note) == frozenset()


@pytest.mark.parametrize(
    ("crm", "problem"),
    [
        ("echoes: crmhook", 'unknown_source "crmhook" is no source; did you mean "crm_hook"?'),
        ("echoes: {crm_hook: contact.opted_in}", "wrong_type contact.opted_in is a type of ours"),
        ("echoes: {crm_hook: contact.unsubscribed}", "wrong_type contact.unsubscribed is a type of ours"),
        ("echoes: {house: customer.changed}", "unknown_type house does not send customer.changed"),
        ("echoes: {crm_hook: 5}", "wrong_shape"),
        ("echoes: [5]", "wrong_type"),
        ("echo_within: 0", "wrong_type echo_within must be between 1s and 1d"),
        ("echo_within: 2d", "wrong_type echo_within must be between 1s and 1d"),
    ],
)
def test_mistakes(crm: str, problem: str) -> None:
    """What cannot be is refused, with what to write instead."""
    (found,) = checked(crm=crm).errors
    assert f"{found.code} {found.text}; {found.mend}".startswith(problem)


def test_nothing_comes_back() -> None:
    """A pair of which nothing can ever come back is told."""
    (found,) = checked(newsletter="echoes: house").warnings
    assert (found.code, found.text) == ("never_works", "nothing that newsletter can write comes back from house")
