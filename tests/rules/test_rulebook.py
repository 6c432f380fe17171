from dataclasses import replace

import pytest

from rules.rulebook import Rulebook
from tests.rules import writing
from tests.rules.writing import event

NOTE = """
    then:
      - crm.add_note:
          email: eva@example.org
          text: seen
"""


def rule(name: str, rest: str, then: str = NOTE) -> str:
    return f"  - name: {name}\n{rest}{then}"


def fired(book: Rulebook, **about: object) -> list[str]:
    return [each.name for each in book.match(event(**about)).fired]  # type: ignore[arg-type]


WHEN = "    when:\n      type: contact.unsubscribed\n"


def test_order() -> None:
    """All matching rules fire: in file-name order, then by position."""
    book = writing.book(
        "rules:\n" + rule("a", WHEN) + rule("b", "    when:\n      type: contact.changed\n") + rule("c", WHEN),
        "rules:\n" + rule("d", WHEN),
    )
    assert fired(book) == ["a", "c", "d"]


def test_stop() -> None:
    """`stop` ends its own file, not the others, and only where its rule fires."""
    book = writing.book(
        "rules:\n" + rule("a", WHEN + "      data.reason: moved\n    stop: true\n") + rule("b", WHEN),
        "rules:\n" + rule("c", WHEN),
    )
    assert fired(book, reason="moved") == ["a", "c"]
    assert fired(book, reason="bored") == ["b", "c"]
    told = {miss.rule.name: (miss.at, miss.why.code) for miss in book.match(event(reason="moved")).missed}
    assert told == {"b": ("stop", "stopped")}


def test_unless() -> None:
    """`unless` holds back only where it is true; where it is unknown the rule fires."""
    book = writing.book("rules:\n" + rule("a", WHEN + "    unless:\n      data.reason: test\n"))
    assert fired(book, reason="test") == []
    assert [miss.why.code for miss in book.match(event(reason="test")).missed] == ["unless"]
    assert fired(book, reason="moved") == ["a"]
    assert fired(book) == ["a"]


def test_absent_never_matches() -> None:
    """A condition on a field that is not there is unknown, and unknown never forwards."""
    book = writing.book("rules:\n" + rule("a", WHEN + "      data.reason: {not: moved}\n"))
    assert fired(book, reason="bored") == ["a"]
    assert fired(book) == []
    (miss,) = book.match(event()).missed
    assert (miss.at, miss.why) == ("data.reason", "absent at data.reason")


def test_enabled() -> None:
    """A rule that is not enabled is checked and never fires."""
    book = writing.book("rules:\n" + rule("a", WHEN + "    enabled: false\n") + rule("b", WHEN))
    assert fired(book) == ["b"]
    assert (
        writing.checked("rules:\n" + rule("a", "    when:\n      type: contact.x\n    enabled: false\n")).book is None
    )


def test_defaults() -> None:
    """`defaults` hold for the rules of their file; a rule may say otherwise."""
    book = writing.book(
        "defaults:\n  delay: 5m\n  in_order: true\nrules:\n" + rule("a", WHEN) + rule("b", WHEN + "    delay: 1m\n"),
        "rules:\n" + rule("c", WHEN),
    )
    found = [(each.options.delay, each.options.in_order) for each in book.rules]
    assert found == [(300_000, True), (60_000, True), (0, False)]


def test_vars() -> None:
    """`vars` are constants for values, over all files."""
    book = writing.book(
        "vars:\n  sender: the context\n",
        "rules:\n" + rule("a", WHEN, NOTE.replace("seen", '"seen by {{ vars.sender }}"')),
    )
    (action,) = book.rules[0].actions(event(), {})
    assert action.arguments["text"] == "seen by the context"  # type: ignore[union-attr]


def test_unknown_var() -> None:
    """A var that nobody has defined is an error."""
    texts = ("vars:\n  sender: x\n", "rules:\n" + rule("a", WHEN, NOTE.replace("seen", '"{{ vars.sendr }}"')))
    assert [problem.code for problem in writing.checked(*texts).errors] == ["unknown_field"]


def test_fields_of_a_source() -> None:
    """A field that a source declares may be used where only that source can send the event."""
    systems = (
        "sources:\n  at2:\n    kind: activetrail\n    fields: {shoe_size: number}\n    verify: {none: only for tests}\n"
    )
    one = rule("a", "    when:\n      source: at2\n      type: contact.changed\n      data.shoe_size: {gt: 40}\n")
    assert writing.checked(systems + "rules:\n" + one).errors == ()
    other = one.replace("at2", "at").replace("name: a", "name: b")
    assert [problem.code for problem in writing.checked("rules:\n" + other).errors] == ["unknown_field"]


def test_version() -> None:
    """The version follows the contents: the same text the same version, another text another one."""
    one, same, other = (writing.book("rules:\n" + rule(name, WHEN)) for name in ("a", "a", "b"))
    assert one.version == same.version != other.version
    assert len(one.version) == 12


def test_files() -> None:
    """A book knows its text, so that a delivery's book can be shown later."""
    book = writing.book("rules:\n" + rule("a", WHEN))
    assert set(book.files) == {"00-systems.yaml", "01-rules.yaml"}
    assert book.files["01-rules.yaml"].startswith("rules:\n  - name: a\n")


def test_generic_source() -> None:
    """A generic source sends types of its own; their data is open."""
    book = writing.book(
        "rules:\n" + rule("a", "    when:\n      source: shop\n      type: order.paid\n      data.n: 1\n")
    )
    assert fired(book, type="order.paid", source="shop", n=1) == ["a"]
    assert fired(book, type="order.paid", source="shop", n=2) == []


def test_types_by_operator_of_a_generic_source() -> None:
    """An operator also fits types that only a generic source knows."""
    book = writing.book("rules:\n" + rule("a", "    when:\n      source: shop\n      type: {prefix: order.}\n"))
    assert fired(book, type="order.paid", source="shop") == ["a"]
    assert fired(book, type="lead.created", source="shop") == []


def test_raw() -> None:
    """`raw` is the vendor's body; it is parsed only for a rule that asks for it."""
    book = writing.book("rules:\n" + rule("a", WHEN + "      raw.Grund: Umzug\n") + rule("b", WHEN))
    assert fired(book, body=b'{"Grund": "Umzug"}') == ["a", "b"]
    assert [
        problem.code for problem in writing.checked("rules:\n" + rule("a", WHEN + "      raw.x: y\n")).warnings
    ] == ["raw"]


@pytest.mark.parametrize("type", ["{prefix: contact.}", "[{suffix: .unsubscribed}]", "{not: contact.changed}"])
def test_types_by_operator(type: str) -> None:
    """A type may be asked for by an operator; the fields are then those of all types it fits."""
    book = writing.book(
        "rules:\n" + rule("a", f"    when:\n      source: at\n      type: {type}\n      data.email: x\n")
    )
    assert fired(book, email="x") == ["a"]
    assert fired(book, type="contact.changed", email="x") == (["a"] if "prefix" in type else [])


def test_country() -> None:
    """A source has the country that it names, else the one that the book names in any of its files, else none."""
    assert {source.country for source in writing.book("vars: {greeting: Hello}").sources.values()} == {None}
    sued = """
        sources:
          wien: {kind: activetrail, country: AT, verify: {none: it is a test}}
    """
    countries = {source.name: source.country for source in writing.book(sued, "country: DE").sources.values()}
    assert countries.pop("wien") == "AT"
    assert set(countries.values()) == {"DE"}


@pytest.mark.parametrize("wrong", ["Germany", "de", "49", "[DE]", "{a: DE}", "true", "5", "XX", "''", "false"])
def test_no_country(wrong: str) -> None:
    """What is no country is said; NO is Norway."""
    problems = [str(problem) for problem in writing.checked(f"country: {wrong}").errors]
    assert len(problems) == 1
    assert "country must be two capital letters" in problems[0]
    assert writing.checked("country: NO").errors == ()


def test_one_country() -> None:
    """A book has one country."""
    [problem] = writing.checked("country: DE", "country: AT").errors
    assert (problem.file, problem.code) == ("02-rules.yaml", "duplicate_name")


def test_observed() -> None:
    """A rule in `mode: observe` fires apart from the others: its `stop` ends nothing, and it ends behind a `stop`."""
    observe = "    mode: observe\n    stop: true\n"
    book = writing.book(
        "rules:\n" + rule("a", WHEN + observe) + rule("b", WHEN + "    stop: true\n") + rule("c", WHEN + observe)
    )
    found = book.match(event())
    assert [[each.name for each in rules] for rules in (found.fired, found.observed)] == [["b"], ["a"]]
    assert [(miss.rule.name, miss.at) for miss in found.missed] == [("c", "stop")]


def test_observed_by_default() -> None:
    """`defaults` may observe a whole file, and a rule of it be in force all the same."""
    book = writing.book(
        "defaults:\n  mode: observe\nrules:\n" + rule("a", WHEN) + rule("b", WHEN + "    mode: enforce\n")
    )
    assert fired(book) == ["b"]


def test_unreached() -> None:
    """Of the rules behind a `stop` one is asked, and named where it matches; in time each of them is."""
    twins = [rule(name, WHEN + "      data.reason: {prefix: m}\n") for name in "bcd"]
    book = writing.book("rules:\n" + rule("a", WHEN + "    stop: true\n") + "".join(twins))
    matched = [book.match(replace(event(reason="moved"), id=str(n))) for n in range(40)]
    assert {each.unreached.name for each in matched if each.unreached} == {"b", "c", "d"}
    assert book.match(event(reason="bored")).unreached is None
