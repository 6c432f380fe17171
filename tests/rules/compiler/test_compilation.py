"""Whatever is written, the check answers with problems: never a traceback, never a hang."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules.compiler import compilation, loader
from rules.errors import ValueFailed
from rules.rulebook import Rulebook
from rules.source.problem import MOST_PROBLEMS, MOST_WARNINGS
from tests.rules import asking, writing
from tests.rules.catalogue import CATALOGUE
from tests.rules.writing import SYSTEMS, event

STARTER = sorted((Path(loader.__file__).parents[1] / "book").glob("*.yaml"))
#: A person waits for the check, and a worker for the new book. Of the processor's time: machines of tests are busy.
PATIENCE = 5.0  # seconds

VOCABULARY = """
sources destinations alerts vars defaults rules tests name kind verify api on_invalid retain retain_unmatched fields
retain_dead retain_quarantined retain_refused
country quiet_after dedupe window key
read when unless look_up then next only_if enabled stop only_once per within coalesce delay hold in_order
on_echo business_hours hours free
given expect contains nothing source type body fixture event result consent newsletter tracking data data.email
data.total
data.items[].price data.guests[id=1].status raw raw.x any_of not exists prefix suffix wildcard gt between cidr days
zone crm.upsert_contact crm.add_note maileon_main.subscribe api.person invoicing.create_invoice email fields lines
contact.unsubscribed booking.created at cmx sd_nord shop seminardesk rest generic <<
"""
WORDS = st.sampled_from(VOCABULARY.split())
TEXTS = st.one_of(
    WORDS,
    st.sampled_from(
        ["{{ data.email }}", "{{ x | omit }}", "{% for a in b %}", "{{ data.lines[0] }}", "${A}", "10m", "5/s"]
    ),
    st.text(max_size=20),
)
SCALARS = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=5)),
    max_leaves=40,
)
RULES = st.lists(
    st.fixed_dictionaries(
        {"name": TEXTS},
        optional={
            "when": st.one_of(VALUES, st.just({"type": "contact.unsubscribed"})),
            "unless": VALUES,
            "look_up": VALUES,
            "then": st.one_of(
                VALUES,
                st.lists(
                    st.dictionaries(
                        st.sampled_from(["crm.upsert_contact", "maileon_main.subscribe", "next", "only_if"]), VALUES
                    ),
                    max_size=3,
                ),
            ),
            "only_once": VALUES,
            "delay": SCALARS,
            "hold": SCALARS,
            "stop": SCALARS,
        },
    ),
    max_size=3,
)
BOOKS = st.one_of(
    VALUES,
    st.dictionaries(st.sampled_from(compilation.SECTIONS), VALUES),
    st.fixed_dictionaries({"rules": RULES}),
)

quick = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def check(content: bytes) -> compilation.Checked:
    started = time.process_time()
    checked = compilation.compile_book({"00.yaml": SYSTEMS.encode(), "10.yaml": content}, CATALOGUE)
    assert time.process_time() - started < PATIENCE
    assert (checked.book is None) == bool(checked.errors)
    for problem in checked.problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.text
        assert "\n" not in str(problem)
    return checked


@quick
@given(st.binary(max_size=300))
def test_any_bytes(content: bytes) -> None:
    """Any bytes are a file."""
    check(content)


@quick
@given(st.text(alphabet=st.sampled_from(list("ab:-?&*!|>'\"%@`{}[],# \n\t.~<=")), max_size=120))
def test_any_signs(text: str) -> None:
    """Any run of YAML's own signs is a file."""
    check(text.encode())


@quick
@given(BOOKS)
def test_any_book(book: Any) -> None:
    """Any values in any place are a book; JSON is YAML."""
    check(json.dumps(book).encode())


@quick
@given(st.sampled_from(STARTER), st.data())
def test_damaged_book(path: Path, data: st.DataObject) -> None:
    """A right book with a piece cut out, doubled or overwritten is a file too."""
    text = path.read_text()
    start = data.draw(st.integers(0, len(text)))
    end = min(len(text), start + data.draw(st.integers(0, 60)))
    text = text[:start] + data.draw(st.one_of(st.just(""), TEXTS, st.just(text[start:end] * 2))) + text[end:]
    check(text.encode("utf-8", "surrogatepass"))


DATA = st.dictionaries(
    st.sampled_from(["email", "reason", "first_name", "total", "booker", "lines", "status", "id"]), VALUES
)


def starter() -> Rulebook:
    return writing.book(
        """
        rules:
          - name: leaves
            when:
              type: contact.unsubscribed
              data.email: {not: null}
            unless:
              data.reason: {prefix: te}
            only_once: {per: data.email, within: 1d}
            then:
              - crm.upsert_contact:
                  email: "{{ data.email }}"
                  first_name: "{{ data.first_name | omit }}"
              - crm.add_note:
                  email: "{{ data.email }}"
                  text: "Left: {{ data.reason | default('-') }}"
        """
    )


@quick
@given(DATA)
def test_any_event(data: dict[str, Any]) -> None:
    """Any data is an event: rules fire or not, and a value that cannot be made is a ValueFailed."""
    about = event(**data)
    for rule in starter().match(about).fired:
        with contextlib.suppress(ValueFailed):
            rule.actions(about, {})


RULE = """rules:
  - name: a
    when:
      type: contact.unsubscribed
{when}    then:
      - crm.upsert_contact:
          email: x@example.org
{arguments}"""


def lines(count: int, line: str) -> str:
    return "".join(line.format(number) + "\n" for number in range(count))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("braces", "{" * 500_000),
        ("brackets", "[" * 500_000),
        ("questions", "? " * 100_000),
        ("stars", "*a " * 100_000),
        ("tabs", "\t\n" * 100_000),
        ("open templates", "a: {{" * 100_000),
        ("the same key", "a: 1\n" * 50_000),
        ("unknown keys", lines(20_000, "key{}: 1")),
        ("unknown rules", "rules:\n" + lines(20_000, "  - key{}: 1")),
        ("constants", "vars:\n" + lines(5_000, "  key{}: 1")),
        ("destinations", "destinations:\n" + lines(5_000, "  key{}: {{kind: rest}}")),
        ("conditions", RULE.format(when=lines(20_000, "      data.x{}: 1"), arguments="")),
        ("literals", RULE.format(when="      data.email:\n" + lines(20_000, "        - a{}"), arguments="")),
        ("arguments", RULE.format(when="", arguments=lines(20_000, "          x{}: 1"))),
        ("one long template", RULE.format(when="", arguments=f"          phone: '{'{{ data.email }}' * 50_000}'\n")),
        ("wildcards", RULE.format(when=f"      data.email: {{wildcard: '{'*a' * 10_000}'}}\n", arguments="")),
    ],
    ids=lambda value: value if len(value) < 30 else "",
)
def test_hostile(name: str, text: str) -> None:
    """A file made to keep the check busy is refused with a reason, soon and without a flood of messages."""
    checked = check(text.encode())
    assert checked.errors, name
    assert len(checked.problems) <= MOST_PROBLEMS + 1


def test_warnings_do_not_refuse_a_book() -> None:
    """However many doubts there are, they are no error, and every rule is there; an error beside them is seen."""
    text = "rules:" + "".join(
        f"\n  - name: r{n}\n    when:\n      source: shop\n      type: order.paid\n      data.total: {{gt: {n}}}\n"
        "    then: nothing"
        for n in range(700)
    )
    made = writing.checked(text)
    assert made.book is not None
    assert len(made.book.rules) == 700
    assert len(made.problems) == MOST_WARNINGS + 1
    assert [problem.code for problem in made.problems if problem.code != "undeclared_number"] == ["too_many_warnings"]
    wrong = writing.checked(text + "\n  - name: last\n    whn: {}\n    then: nothing\n")
    assert wrong.book is None
    assert {problem.code for problem in wrong.errors} == {"unknown_key", "missing_key"}
    pattern = {f"data.n{n}": {"gt": n} for n in range(700)}
    assert not asking.compiled(pattern).fires(asking.facts({f"n{n}": n + 1 for n in range(699)}))
