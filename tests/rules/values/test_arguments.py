import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel

from rules.errors import ValueFailed
from rules.matching.field_types import FieldScope
from rules.source.finding import Finding
from rules.values import arguments
from rules.values.arguments import COMPUTED, OMIT
from rules.values.filters import FILTERS, signature
from tests.rules.asking import OPEN, facts, rendered, wrong_value


class OrderLine(BaseModel):
    text: str
    price: float


class Order(BaseModel):
    id: int
    email: str
    first_name: str | None = None
    at: AwareDatetime | None = None
    lines: list[OrderLine] | None = None


ORDER = FieldScope((Order,), look_ups={"booker": None}, result=None)


@pytest.mark.parametrize(
    "literal",
    [
        "text",
        "",
        "{ not a template }",
        "100 %",
        "}}",
        5,
        5.5,
        True,
        False,
        None,
        [],
        {},
        ["a", 1, None],
        {"a": {"b": 1}},
    ],
)
def test_literal(literal: Any) -> None:
    """A literal stays what it is, and is known before any event comes."""
    assert rendered(literal) == literal
    assert arguments.compile_value(literal, OPEN, []).literal == literal


@pytest.mark.parametrize("value", [5, 5.5, True, False, None, "text", "", [1, "a"], {"a": None}])
def test_kept_type(value: Any) -> None:
    """A value that is exactly one {{ … }} keeps its type, null too."""
    assert rendered("{{ data.x }}", {"x": value}) == value
    assert type(rendered("{{data.x}}\n", {"x": value})) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(5, "x5"), (5.5, "x5.5"), (True, "xtrue"), (False, "xfalse"), ("a", "xa"), ("", "x"), (-1, "x-1")],
)
def test_text(value: Any, text: str) -> None:
    """With anything around it a value becomes text; true is written as in YAML and JSON."""
    assert rendered("x{{ data.x }}", {"x": value}) == text


@pytest.mark.parametrize(
    ("template", "data", "path", "why"),
    [
        ("{{ data.x }}", {}, "data.x", "absent"),
        ("a {{ data.x }}", {}, "data.x", "absent"),
        ("{{ data.a.b }}", {"a": None}, "data.a.b", "absent"),
        ("{{ data.a.b.c }}", {"a": {"b": 5}}, "data.a.b.c", "absent"),
        ("{{ data.l[1] }}", {"l": [1]}, "data.l[1]", "absent"),
        ("{{ data.s[0] }}", {"s": "text"}, "data.s[0]", "absent"),
        ("{{ booker.email }}", {}, "booker.email", "absent"),
        ("a {{ data.x }}", {"x": None}, "data.x", "is null inside a text; add | default('')"),
        ("a {{ data.x }}", {"x": []}, "data.x", "is a list inside a text; add | join(', ')"),
        ("a {{ data.x }}", {"x": {}}, "data.x", "is a group of fields inside a text; name one of them"),
        ("{{ data.x | lower }}", {"x": None}, "data.x", "null, which lower cannot take; add | default(…) or | omit"),
        ("{{ data.x | lower }}", {"x": 5}, "data.x", "lower: is not text"),
        ("{{ data.x + 1 }}", {"x": "5"}, "data.x", "+ needs numbers"),
        ("{{ data.x * 1000 }}", {"x": "a"}, "data.x", "* needs numbers"),
        ("{{ data.x / data.y }}", {"x": 1, "y": 0}, "data.x", "division by zero"),
        ("{{ data.x < 5 }}", {"x": "4"}, "data.x", "cannot be compared: the two are of different kinds"),
        ("{{ 'a' if data.x }}", {"x": False}, "data.x", "the if has no else"),
        ("{% for a in data.x %}{% endfor %}", {"x": "text"}, "data.x", "is not a list"),
        ("{% for a in data.x %}{% endfor %}", {"x": None}, "data.x", "null"),
        ("{% for a in data.x %}{{ a.b }}{% endfor %}", {"x": [{}]}, "data.x[].b", "absent"),
        ("{{ (data.x | first).y }}", {"x": [{"z": 1}]}, "data.x", "absent at y of it"),
        ("{{ data.x }}", {"x": "ab\ud800"}, "data.x", "holds half a character, which is no text"),
        ("{{ data.x }}", {"x": [{"y": "\ud800"}]}, "data.x", "cannot be written as JSON"),
        ("a{{ data.x }}", {"x": "\ud800"}, "", "holds half a character, which is no text"),
        ("{{ data.x }}", {"x": float("nan")}, "data.x", "is no number that JSON knows"),
        ("{{ data.x }}", {"x": [float("inf")]}, "data.x", "cannot be written as JSON"),
    ],
)
def test_fails(template: str, data: Any, path: str, why: str) -> None:
    """What cannot be filled says which path and why."""
    scope = FieldScope(look_ups={"booker": None})
    with pytest.raises(ValueFailed) as caught:
        rendered(template, data, scope=scope)
    assert (caught.value.path, caught.value.why) == (path, why)


def test_failures_without_values() -> None:
    """No failure holds the value of a person."""
    secret = "eva.muster"
    for template in (
        "{{ data.x | email }}",
        "{{ data.x | phone }}",
        "{{ data.x + 1 }}",
        "{{ data.x | int }}",
        "{{ data.x.y }}",
    ):
        with pytest.raises(ValueFailed) as caught:
            rendered(template, {"x": secret})
        assert secret not in str(caught.value)
        assert secret not in repr(caught.value)


@pytest.mark.parametrize(
    "name", ["items", "keys", "values", "get", "pop", "copy", "__class__", "update", "count", "index", "format"]
)
def test_dot_is_key(name: str) -> None:
    """A dot is a key, never a method: the fields of an event may be called what they like."""
    assert rendered("{{ data.NAME }}".replace("NAME", name), {name: 5}) == 5
    assert rendered("{{ data.a.NAME | default('none') }}".replace("NAME", name), {"a": {}}) == "none"
    assert rendered("{{ data.a.NAME | default('none') }}".replace("NAME", name), {"a": "text"}) == "none"
    assert rendered("{{ data.a.NAME | default('none') }}".replace("NAME", name), {"a": []}) == "none"


@pytest.mark.parametrize(
    ("data", "expected"),
    [({}, OMIT), ({"x": None}, OMIT), ({"x": ""}, OMIT), ({"x": False}, False), ({"x": 0}, 0), ({"x": []}, [])],
)
def test_omit(data: Any, expected: Any) -> None:
    """`omit` drops what is absent, null or blank, and nothing else."""
    assert rendered("{{ data.x | omit }}", data) == expected


@pytest.mark.parametrize(
    "blank",
    ["", "   ", "\t\r\n", "\u200b", "\ufeff", "\u00a0\u3000", "\u00ad\u2060 ", "\x00", "\u2800", "\u200e\u200f"],
)
def test_d11b_blank_is_nothing(blank: str) -> None:
    """D11b: a text in which nobody sees anything is left out by `omit`, and clears by `clear`; also behind a filter."""
    for filter in ("", "| phone ", "| email ", "| date ", "| int ", "| trim "):
        assert rendered(f"{{{{ data.x {filter}| omit }}}}", {"x": blank}) is OMIT
        assert rendered(f"{{{{ data.x {filter}| clear }}}}", {"x": blank}) == ""


def test_d11c_clear() -> None:
    """D11c: `clear` empties what is there and empty; what is absent or unreadable is left alone, the rest passes."""
    values = [
        ({}, OMIT),
        ({"x": None}, ""),
        ({"x": ""}, ""),
        ({"x": "Ulm"}, "Ulm"),
        ({"x": 0}, 0),
        ({"x": False}, False),
    ]
    for data, expected in values:
        assert rendered("{{ data.x | clear }}", data) == expected
    assert rendered("{{ data.x | phone | clear }}", {"x": "n/a"}) is OMIT
    assert rendered("{{ data.x | phone | clear }}", {"x": None}) == ""


@pytest.mark.parametrize("value", ["", "-", "n/a", "auf Anfrage", "0", "tel:", "\u200b-\u200b", "???", 0, [], {}, True])
def test_d13a_unreadable(value: Any) -> None:
    """D13a: what a filter cannot read is left out by `omit`, and replaced by `default`."""
    for filter in ("phone", "phone('DE')", "email", "date", "instant", "money | float", "first | float"):
        assert rendered(f"{{{{ data.x | {filter} | omit }}}}", {"x": value}) in (OMIT, 0.0)
    assert rendered("{{ data.x | phone('DE') | default('none') }}", {"x": value}) == "none"
    with pytest.raises(ValueFailed):
        rendered("{{ data.x | phone('DE') }}", {"x": value})


@pytest.mark.parametrize(
    "value", ["tel:+49 30 123456", "\u200b+49 30 123456\u202c", "+49\u00a030\u2011123456", "TEL:+4930123456"]
)
def test_d13a_readable(value: str) -> None:
    """D13a: schemes and signs nobody sees are no part of a number."""
    assert rendered("{{ data.x | phone('DE') | omit }}", {"x": value}) == "+4930123456"


def test_wrong_arguments_are_not_left_out() -> None:
    """A filter that is used wrongly says so: that is a mistake of the rule and not of the value."""
    with pytest.raises(ValueFailed, match="needs texts"):
        rendered("{{ data.x | join(data.y) | omit }}", {"x": ["a"], "y": 5})


def test_omit_inside() -> None:
    """An omitted value is left out of the group or list that it stands in."""
    node = {"a": "{{ data.a | omit }}", "b": ["{{ data.b | omit }}", 1], "c": {"d": "{{ data.d | lower | omit }}"}}
    assert rendered(node) == {"b": [1], "c": {}}
    assert rendered(node, {"a": 1, "b": 2, "d": "D"}) == {"a": 1, "b": [2, 1], "c": {"d": "d"}}


@pytest.mark.parametrize(
    ("template", "data", "expected"),
    [
        ("{{ data.x | default('d') }}", {}, "d"),
        ("{{ data.x | default('d') }}", {"x": None}, "d"),
        ("{{ data.x | default('d') }}", {"x": ""}, ""),
        ("{{ data.x | default('d') }}", {"x": False}, False),
        ("{{ data.x | default('d', true) }}", {"x": ""}, "d"),
        ("{{ data.x | default('d', boolean=true) }}", {"x": []}, "d"),
        ("{{ data.x | default(default_value='d') }}", {}, "d"),
        ("{{ data.x | default(data.y) | default('d') }}", {}, "d"),
        ("{{ data.x | default(data.y) }}", {"y": 5}, 5),
        ("{{ data.x.y.z | default('d') }}", {"x": None}, "d"),
        ("{{ data.x | email | upper | default('d') }}", {}, "d"),
        ("{{ (data.x if data.y else data.z) | default('d') }}", {"y": False}, "d"),
        ("{{ data.x | d('d') }}", {}, "d"),
        ("{{ (data.x | first).y | default('d') }}", {"x": []}, "d"),
    ],
)
def test_default(template: str, data: Any, expected: Any) -> None:
    """`default` stands in for what is absent or null, anywhere on the way to it."""
    assert rendered(template, data) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("data.n + 1", 6),
        ("data.n - 1", 4),
        ("data.n * 2", 10),
        ("data.n / 2", 2.5),
        ("data.n // 2", 2),
        ("data.n % 2", 1),
        ("-data.n", -5),
        ("+data.n", 5),
        ("data.t + data.t", "abab"),
        ("data.t ~ data.n ~ true", "ab5true"),
        ("data.n == 5", True),
        ("data.n == '5'", False),
        ("data.n == true", False),
        ("data.one == true", False),
        ("data.n != 5", False),
        ("1 < data.n <= 5", True),
        ("data.n >= 5 and data.n > 4", True),
        ("'a' in data.t", True),
        ("'x' not in data.t", True),
        ("true in data.l", False),
        ("2 in data.l", True),
        ("'k' in data.m", True),
        ("not data.n", False),
        ("data.n or 7", 5),
        ("0 or 7", 7),
        ("data.x is defined", False),
        ("data.x is not defined", True),
        ("data.x is undefined", True),
        ("data.null is defined", True),
        ("data.null is none", True),
        ("data.t is string", True),
        ("data.n is number", True),
        ("data.b is number", False),
        ("data.b is boolean", True),
        ("data.l is sequence", True),
        ("data.m is mapping", True),
        ("'yes' if data.b else 'no'", "yes"),
        ("[1, data.n, 'a']", [1, 5, "a"]),
        ("(1, 2)", [1, 2]),
        ("{'a': data.n}", {"a": 5}),
        ("data.l[1]", 2),
        ("data.m['k']", "v"),
        ('data["Odd key"].x', 1),
        ("none", None),
        ("data.x is defined and data.x > 5", False),
    ],
)
def test_expressions(expression: str, expected: Any) -> None:
    """Expressions compute with fields; text is no number, and true is not 1."""
    data = {"n": 5, "one": 1, "t": "ab", "b": True, "null": None, "l": [1, 2], "m": {"k": "v"}, "Odd key": {"x": 1}}
    made = rendered("{{ " + expression + " }}", data)
    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% if data.n > 3 %}many{% elif data.n %}some{% else %}none{% endif %}", "many"),
        ("{% if data.x is defined %}{{ data.x }}{% endif %}-", "-"),
        ("{% for a in data.l %}{{ loop.index }}{{ a.n }}{% if not loop.last %},{% endif %}{% endfor %}", "1a,2b"),
        ("{% for a in data.none %}{{ a }}{% else %}nobody{% endfor %}", "nobody"),
        ("{% for a in data.l %}{% for b in data.l %}{{ a.n }}{{ b.n }} {% endfor %}{% endfor %}", "aa ab ba bb "),
        ("{% set x = data.n + 1 %}{{ x }}{{ x }}", "66"),
        ("{% for a in data.l %}{% set x = a.n %}{{ x }}{% endfor %}", "ab"),
        ("a{# a comment #}b", "ab"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("line {{ data.n }}\n", "line 5\n"),
        ("{%- if true -%} x {%- endif -%}", "x"),
    ],
)
def test_statements(template: str, text: str) -> None:
    """Texts may have conditions, loops over lists and names of their own."""
    assert rendered(template, {"n": 5, "l": [{"n": "a"}, {"n": "b"}], "none": []}) == text


@pytest.mark.parametrize(
    ("template", "text", "mend"),
    [
        ("{{ data.emial }}", "there is no field data.emial", 'did you mean "data.email"?'),
        ("{{ email }}", 'there is no "email" here', 'did you mean "data.email"?'),
        ("{{ data.lines[0].txt }}", "there is no field data.lines[].txt", 'did you mean "data.lines[].text"?'),
        ("{{ data.lines.text }}", "data.lines is a list", "data.lines[].text"),
        ("{{ data.email.domain }}", "data.email is text, it has no fields", "write data.email"),
        (
            "{% for l in data.lines %}{{ l.txt }}{% endfor %}",
            "there is no field data.lines[].txt",
            'data.lines[].text"?',
        ),
        ("{% for l in data.email %}{% endfor %}", "data.email is text, not a list", ""),
        ("{{ l.txt }}", 'there is no "l" here', ""),
        ("{{ result.id }}", 'there is no "result" here', ""),
        ("{{ data.email | emial }}", 'there is no filter "emial"', 'did you mean "email"?'),
        ("{{ data.email | date('%x') }}", "date needs a format", "write date(format="),
        ("{{ data.email | date(zone='Mars') }}", "date needs a zone such as", "write date(format="),
        ("{{ data.email | lower(5) }}", "lower does not take these arguments", "write lower"),
        ("{{ data.email | phone('a', 'b') }}", "phone does not take these arguments", "write phone or phone('DE')"),
        ("{{ data.email | phone('Mars') }}", "phone needs a country such as 'DE'", "write phone or phone('DE')"),
        ("{{ data.lines | sum('a', 'b') }}", "sum does not take these arguments", "write sum or sum('price')"),
        ("{{ data.email | replace('a') }}", "replace does not take", "write replace(old, new)"),
        ("{{ data.email | money('EUR', 'xx') }}", "money knows the languages", "write money("),
        ("{{ data.email | default }}", "default needs what to take instead", "| default('')"),
        ("{{ data.email | default('a', 'b') }}", "the second argument is true or false", "true"),
        ("{{ data.email | default('a', c=1) }}", "default needs", ""),
        ("{{ data.email | omit | lower }}", "omit stands last", "default('')"),
        ("x {{ data.email | omit }}", "omit stands last", "default('')"),
        ("{{ data.email | omit(1) }}", "omit takes no argument", ""),
        ("{{ data.email is odd }}", 'there is no test "odd"', ""),
        ("{{ null }}", 'there is no "null" here', "write none"),
        ("{{ data.email", "this is no template", "{{ data.field }}"),
        ("{{ }}", "this is no template", ""),
        ("{{ data.email }", "this is no template", ""),
        ("{{ data. }}", "this is no template", ""),
        ("{% if data.email %}", "this is no template", ""),
        ("{{ data.email.lower() }}", "nothing can be called", "a filter"),
        ("{{ range(10) }}", "nothing can be called", "a filter"),
        ("{{ data.email[0:3] }}", "between [ and ]", '["Odd key"]'),
        ("{{ data.email[data.id] }}", "between [ and ]", '["Odd key"]'),
        ("{{ data.lines[-1] }}", "between [ and ]", '["Odd key"]'),
        ("{{ 9 ** 9 }}", "this arithmetic is not available", "+ - * /"),
        ("{{ 99999999999999999999 }}", "a number that is too large", ""),
        ("{{ 1e999 }}", "a number that is too large", ""),
        ("{{ " + "9" * 5000 + " }}", "this is no template", ""),
        ("{{ {1: 2} }}", "the keys of { } are texts", ""),
        ("{{ data.email | join(*data.lines) }}", "* and ** are not available", ""),
        ("{% include 'x' %}", "{% include %} is not available", ""),
        ("{% import 'x' as y %}", "{% import %} is not available", ""),
        ("{% macro m() %}{% endmacro %}", "{% macro %} is not available", ""),
        ("{% set a, b = data.lines %}", "one name at a time", ""),
        ("{% set data = 5 %}", '"data" is taken', ""),
        ("{% set x %}long{% endset %}", "is not available", ""),
        ("{% for a in data.lines if a.price %}{% endfor %}", "a loop goes over a list, once", ""),
        ("{% for a in data.lines recursive %}{% endfor %}", "a loop goes over a list, once", ""),
        ("{{ " + "(" * 500 + "1" + ")" * 500 + " }}", "nested too deeply", ""),
        ("{{ 1" + " + 1" * 100 + " }}", "nested too deeply", ""),
        ("{{ data" + ".x" * 21 + " }}", "more than 20 steps", ""),
        ("x" * 20_000 + "{{ 1 }}", "a template of 20007 characters", ""),
    ],
)
def test_wrong(template: str, text: str, mend: str) -> None:
    """What cannot be compiled is found before any event comes, with the mend."""
    findings = wrong_value(template, ORDER)
    assert len(findings) == 1
    assert text in findings[0][1]
    assert mend in findings[0][2]


def test_places() -> None:
    """A finding tells its place inside the value."""
    node = {"customer": {"email": "{{ data.emial }}"}, "lines": ["x", "{{ data.x }}"], "{{ data.id }}": 1, 5: 1}
    assert [at for at, _, _ in wrong_value(node, ORDER)] == [
        ("customer", "email"),
        ("lines", 1),
        ("{{ data.id }}",),
        (5,),
    ]


@pytest.mark.parametrize(
    ("node", "code"), [("{{ raw.Name }}", "raw"), ("${CRM_TOKEN}", "secret"), ("{{ raw }}", "raw")]
)
def test_warnings(node: str, code: str) -> None:
    """What is doubtful compiles with a warning; a secret is never read."""
    findings: list[Finding] = []
    made = arguments.compile_value(node, OPEN, findings)
    assert [(finding.code, finding.severity) for finding in findings] == [(code, "warning")]
    assert made.render(facts(raw={"Name": "Eva"})) in ("Eva", "${CRM_TOKEN}", {"Name": "Eva"})


def test_value() -> None:
    """A value tells which fields it reads, whether it may be left out and what it becomes."""
    made = arguments.compile_value("{{ data.email | lower | omit }}", ORDER, [])
    assert made.paths == {"data.email"}
    assert made.may_omit
    assert made.literal is COMPUTED
    assert arguments.compile_value("{{ data.id }}", ORDER, []).kind.kinds == {"number"}
    assert arguments.compile_value("SD-{{ data.id }}", ORDER, []).kind.kinds == {"text"}
    assert arguments.compile_value({"a": ["{{ data.id }}", "{{ booker.x }}"]}, ORDER, []).paths == {
        "data.id",
        "booker.x",
    }
    assert arguments.compile_value("{% for l in data.lines %}{{ l.text }}{% endfor %}", ORDER, []).paths == {
        "data.lines",
        "data.lines[]",
        "data.lines[].text",
    }


def test_arguments() -> None:
    """Arguments are filled in their order; omitted ones are not there."""
    findings: list[Finding] = []
    node = {
        "email": "{{ data.email }}",
        "name": "{{ data.first_name | omit }}",
        "list": 5,
        "nested": {"id": "{{ data.id }}"},
    }
    made = arguments.compile_arguments(node, ORDER, findings)
    assert not findings
    assert made.paths == {"data.email", "data.first_name", "data.id"}
    assert made.values["name"].may_omit
    assert made.render(facts({"email": "e", "id": 1})) == {"email": "e", "list": 5, "nested": {"id": 1}}
    with pytest.raises(ValueFailed, match=r"data\.id: absent"):
        made.render(facts({"email": "e"}))


def test_arguments_wrong() -> None:
    """Arguments are a mapping, and what is wrong in them has its place."""
    findings: list[Finding] = []
    arguments.compile_arguments(["a"], ORDER, findings)
    arguments.compile_arguments({"email": "{{ data.emial }}"}, ORDER, findings)
    assert [finding.at for finding in findings] == [(), ("email",)]


def test_literals_are_nobodys() -> None:
    """What one delivery does to its arguments is not seen by the next."""
    made = arguments.compile_arguments({"a": {"b": [1]}}, OPEN, [])
    made.render(facts())["a"]["b"].append(2)
    assert made.render(facts()) == {"a": {"b": [1]}}


# Bounds. -------------------------------------------------------------------------------------------------------------

BIG = {"t": "x" * 40_000, "l": list(range(30_000)), "deep": [["x" * 40_000]] * 2, "lines": [{"a": "x" * 1000}] * 100}


@pytest.mark.parametrize(
    "template",
    [
        "{{ data.t }}{{ data.t }}",
        "{{ data.t ~ data.t }}",
        "{{ data.t + data.t }}",
        "{{ data.t | replace('x', 'xxxxxxxxxx') }}",
        "{{ data.t | replace('x', 'xxxx') | replace('x', 'xxxx') }}",
        "{{ [data.t, data.t] }}",
        "{{ {'a': data.t, 'b': [data.t]} }}",
        "{{ [data.t, data.t] | join }}",
        "{{ data.lines | map('a') | join }}",
        "{{ data.lines | json }}",
        "{{ data.deep }}",
        "{{ data.deep | omit }}",
        "{% for a in data.l %}{% for b in data.l %}x{% endfor %}{% endfor %}",
        "{% for a in data.l %}{% for b in data.l %}{% endfor %}{% endfor %}",
        "{% for a in data.l %}{{ data.t }}{% endfor %}",
        "{% set a = data.t ~ data.t %}{% set b = a ~ a %}{{ b ~ b }}",
        "{{ 999999999 * 999999999 * 999999999 }}",
        "{{ data.t | urlencode | urlencode | replace('x', '%%%%') | urlencode }}",
    ],
)
def test_bounded(template: str) -> None:
    """No text grows without bound and no loop runs for long, whatever the template and the event."""
    started = time.process_time()
    with pytest.raises(ValueFailed):
        rendered(template, BIG)
    assert time.process_time() - started < 1


def test_ten_megabytes() -> None:
    """A value of 10 MB is refused, also where the template only passes it on."""
    for template in (
        "{{ data.x }}",
        "{{ data.x | omit }}",
        "a{{ data.x }}",
        "{{ data.x | upper }}",
        "{{ data.x | plain_text }}",
    ):
        with pytest.raises(ValueFailed, match=r"longer than (65536|1048576) characters"):
            rendered(template, {"x": "<" * 10_000_000})


def test_too_many() -> None:
    """Values that double without end, as YAML's anchors make them, are refused quickly."""
    node: Any = "x"
    for _ in range(9):
        node = [node] * 10
    started = time.process_time()
    assert wrong_value(node)[0][1] == "too many values in one action"
    assert time.process_time() - started < 5


def test_deep() -> None:
    """Values deeper than any action are refused."""
    node: Any = "x"
    for _ in range(5_000):
        node = [node]
    assert len(wrong_value(node)) == 1


# Anything. -----------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
GRAMMAR = (
    "{{ }} {% %} data.x data.y[0] x.y 'a' 1 2.5 | ( ) [ ] { } , ~ + - * / // % ** . == < in and not or if else is "
    "defined none true for endfor endif set = loop.index default('') omit lower int float round(2) join(',') first "
    "map('x') json length replace('a','b') date('%Y') money('EUR') phone localized('de') element('x',1) __class__ self"
)
WORDS = st.sampled_from(GRAMMAR.split(" "))
TEMPLATES = st.lists(WORDS, max_size=10).map(lambda words: "{{ " + " ".join(words) + " }}") | st.lists(
    WORDS, max_size=12
).map(" ".join)


@settings(max_examples=600)
@given(TEMPLATES, st.dictionaries(st.sampled_from("xyz"), JSON, max_size=3))
def test_anything(template: str, data: Any) -> None:
    """Whatever a book and an event hold, there are findings, a value or a ValueFailed, and never anything else."""
    findings: list[Finding] = []
    made = arguments.compile_value(template, OPEN, findings)
    if [finding for finding in findings if finding.severity == "error"]:
        return
    try:
        value = made.render(facts(data))
    except ValueFailed as exc:
        failed = exc
    else:
        assert value is OMIT or json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        return
    assert "cannot be computed" not in failed.why


PLAIN = [
    name
    for name in FILTERS
    if all(
        each.default is not each.empty or each.kind is each.VAR_POSITIONAL
        for each in signature(name).parameters.values()
    )
]
FILTERED = [
    *PLAIN,
    "localized('de')",
    "external_reference(3)",
    "element('x', 1)",
    "map('x')",
    "sum('x')",
    "replace('a', 'b')",
    "translate({'a': 'b'})",
    "instant('Europe/Berlin')",
    "date('%j', 'Europe/Berlin')",
    "money('EUR', 'de')",
]


@settings(max_examples=300)
@given(st.sampled_from(FILTERED), JSON | st.text() | st.text(alphabet="0123456789+-.:TZ ", max_size=30))
def test_filters_of_anything(filtered: str, value: Any) -> None:
    """Any filter of any value gives a plain JSON value or says why not."""
    try:
        made = rendered("{{ data.x | " + filtered + " }}", {"x": value})
    except ValueFailed as exc:
        failed = exc
    else:
        assert json.dumps(made, ensure_ascii=False, allow_nan=False).encode()
        return
    assert "cannot be computed" not in failed.why


def test_fast() -> None:
    """Ten fields are filled in microseconds; the bound here is loose, `make bench` measures."""
    node = {f"f{place}": "{{ data.email }}" for place in range(8)} | {
        "a": "SD-{{ data.id }}",
        "b": "{{ data.x | omit }}",
    }
    made = arguments.compile_arguments(node, OPEN, [])
    event = facts({"email": "eva@example.org", "id": 1})
    started = time.process_time()
    for _ in range(1_000):
        made.render(event)
    assert time.process_time() - started < 0.2
