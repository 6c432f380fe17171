import json
import time
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel

from rules.matching import pattern
from rules.matching.field_types import FieldScope
from rules.matching.path import ABSENT
from rules.matching.truth import Truth
from rules.source.finding import Finding
from tests.rules.asking import compiled, facts, truth, verdict, wrong


class PatternGuest(BaseModel):
    name: str | None = None
    age: int | None = None


class PatternBooking(BaseModel):
    id: int
    status: Literal["confirmed", "canceled"] | None = None
    total: float
    paid: bool
    begin: AwareDatetime
    remarks: str
    guests: list[PatternGuest] | None = None


BOOKING = FieldScope((PatternBooking,))


# What matches. -------------------------------------------------------------------------------------------------------


def test_empty() -> None:
    """A pattern without conditions matches every event."""
    assert truth({}) == "true"


def test_event_fields() -> None:
    """The fields of the event itself may be asked for like those of data."""
    assert truth({"type": ["order.created", "order.paid"], "source": "shop"}) == "true"
    assert truth({"type": {"prefix": "order."}}) == "true"
    assert truth({"subject": {"exists": False}}) == "true"


def test_look_ups() -> None:
    """Results of look-ups are asked for by their name."""
    scope = FieldScope(look_ups={"booker": PatternGuest})
    asked = compiled({"booker.age": {"gte": 18}}, scope)
    assert asked.test(facts(booker={"age": 40})).truth is Truth.TRUE
    assert asked.test(facts(booker={"age": None})).truth is Truth.UNKNOWN
    assert asked.test(facts()).truth is Truth.UNKNOWN


@pytest.mark.parametrize(
    ("guests", "expected"),
    [
        ([{"kind": "child", "age": 9}], "true"),
        ([{"kind": "child", "age": 40}, {"kind": "adult", "age": 9}], "false"),
        ([{"kind": "adult", "age": 40}, {"kind": "child", "age": 9}], "true"),
        ([{"kind": "child"}, {"kind": "adult", "age": 9}], "unknown"),
        ([{"kind": "child"}, {"kind": "child", "age": 9}], "true"),
        ([], "false"),
        (None, "unknown"),
        ({"kind": "child", "age": 9}, "unknown"),
        (["child", 9, None], "unknown"),
    ],
)
def test_same_element(guests: Any, expected: str) -> None:
    """Conditions under one `[]` hold for the same element or not at all."""
    asked = {"data.guests[].kind": "child", "data.guests[].age": {"lt": 18}}
    assert truth(asked, {"guests": guests}) == expected
    assert truth(dict(reversed(asked.items())), {"guests": guests}) == expected


def test_lists_in_lists() -> None:
    """With `[]` inside `[]` the inner conditions are about the inner element of the same outer one."""
    asked = {
        "data.guests[].name": "Eva",
        "data.guests[].items[].type": "meal",
        "data.guests[].items[].price": {"gt": 10},
    }
    eva = {"name": "Eva", "items": [{"type": "meal", "price": 5}, {"type": "room", "price": 50}]}
    ada = {"name": "Ada", "items": [{"type": "meal", "price": 20}]}
    assert truth(asked, {"guests": [eva, ada]}) == "false"
    eva["items"].append({"type": "meal", "price": 20})  # type: ignore[attr-defined]
    assert truth(asked, {"guests": [eva, ada]}) == "true"


def test_elements_themselves() -> None:
    """`[]` at the end is the element itself, also of lists in lists."""
    assert truth({"data.tags[]": "yoga"}, {"tags": ["meer", "yoga"]}) == "true"
    assert truth({"data.rows[][]": {"gt": 5}}, {"rows": [[1, 2], [3, 6]]}) == "true"
    assert truth({"data.rows[][]": {"gt": 5}}, {"rows": [[1, 2], 6]}) == "unknown"


def test_no_element() -> None:
    """`not` over `[]` is about all elements, also beside a condition that is about one."""
    asked = {"data.guests[].kind": "child", "data.guests[].status": {"not": "canceled"}}
    assert truth(asked, {"guests": [{"kind": "child", "status": "ok"}]}) == "true"
    assert (
        truth(asked, {"guests": [{"kind": "child", "status": "ok"}, {"kind": "adult", "status": "canceled"}]})
        == "false"
    )
    both = {"data.tags[]": {"prefix": "y", "not": "yin"}}
    assert truth(both, {"tags": ["yoga", "meer"]}) == "true"
    assert truth(both, {"tags": ["yoga", "yin"]}) == "false"


def test_groups_have_their_own_element() -> None:
    """Each group of any_of looks for its own element."""
    asked = {"data.guests[].kind": "child", "any_of": [{"data.guests[].age": {"gte": 40}}]}
    assert truth(asked, {"guests": [{"kind": "child", "age": 9}, {"kind": "adult", "age": 40}]}) == "true"


def test_any_of_in_any_of() -> None:
    """Groups may hold groups."""
    asked = {"any_of": [{"data.a": 1, "any_of": [{"data.b": 1}, {"data.b": 2}]}, {"data.c": 1}]}
    assert truth(asked, {"a": 1, "b": 2}) == "true"
    assert truth(asked, {"a": 1, "b": 3, "c": 2}) == "false"
    assert truth(asked, {"a": 1, "b": 3}) == "unknown"


# What a verdict says. ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "data", "at", "why", "actual"),
    [
        ({"data.email": "x"}, {}, "data.email", "absent at data.email", ABSENT),
        ({"data.a.b": "x"}, {}, "data.a.b", "absent at data.a", ABSENT),
        ({"data.a.b": 1}, {"a": None}, "data.a.b", "absent at data.a.b, because what is before it is null", ABSENT),
        ({"data.s": "on"}, {"s": "off"}, "data.s", 'data.s is not "on"', "off"),
        ({"data.s": ["on", 5]}, {"s": "off"}, "data.s", 'data.s is none of "on", 5', "off"),
        ({"data.s": {"not": "off"}}, {"s": "off"}, "data.s", 'data.s is "off"', "off"),
        ({"data.n": {"gt": 5}}, {"n": 5}, "data.n", "data.n is not greater than 5", 5),
        ({"data.n": {"gt": 5}}, {"n": None}, "data.n", "null at data.n", None),
        ({"data.n": {"gt": 5}}, {"n": "x"}, "data.n", "data.n is text, gt needs a number", "x"),
        ({"data.n": {"gt": 5, "lt": 9}}, {"n": 10}, "data.n", "data.n is not less than 9", 10),
        ({"data.ip": {"cidr": "192.0.2.0/24"}}, {"ip": "x"}, "data.ip", "data.ip is no address", "x"),
        ({"data.x": {"exists": False}}, {"x": 1}, "data.x", "data.x exists", 1),
        ({"data.x": {"exists": True}}, {}, "data.x", "absent at data.x", ABSENT),
        ({"data.t[]": "a"}, {}, "data.t[]", "absent at data.t", ABSENT),
        ({"data.t[]": "a"}, {"t": []}, "data.t[]", "data.t is empty", []),
        ({"data.t[]": "a"}, {"t": ["b"]}, "data.t[]", 'no element of data.t is "a"', ["b"]),
        ({"data.t[]": "a"}, {"t": None}, "data.t[]", "null at data.t", None),
        ({"data.t[].x": {"not": 1}}, {"t": [{"x": 1}]}, "data.t[].x", "an element of data.t[].x is 1", [1]),
        ({"data.t[].x": {"exists": False}}, {"t": [{"x": 1}]}, "data.t[].x", "an element of data.t[].x exists", [1]),
        (
            {"data.t[].x": 1, "data.t[].y": 2},
            {"t": [{"x": 1, "y": 1}]},
            "data.t[]",
            "no element of data.t where x is 1 and y is 2",
            [1],
        ),
        (
            {"any_of": [{"data.a": 1}, {"data.b": 1}]},
            {"a": 2},
            "any_of",
            "no group of any_of holds: data.a is not 1; absent at data.b",
            ABSENT,
        ),
    ],
)
def test_verdict(node: dict[str, Any], data: Any, at: str, why: str, actual: Any) -> None:
    """A verdict names the condition and the reason, and keeps the value apart."""
    said = verdict(node, data)
    assert (said.at, said.why, said.actual) == (at, why, actual)


#: Code -> conditions that do not hold for that reason, and the data.
CODES: dict[str, tuple[tuple[Any, Any], ...]] = {
    "absent": (({"data.x": 1}, {}), ({"data.x": {"exists": True}}, {}), ({"data.x[]": 1}, {})),
    "null": (({"data.x": {"gt": 5}}, {"x": None}), ({"data.x[]": 1}, {"x": None})),
    "exists": (({"data.x": {"exists": False}}, {"x": 1}),),
    "differs": (
        ({"data.x": 1}, {"x": 2}),
        ({"data.x": [1, {"gt": 5}]}, {"x": 2}),
        ({"data.x": {"length": 1}}, {"x": "ab"}),
    ),
    "denied": (({"data.x": {"not": 1}}, {"x": 1}),),
    "denied_element": (({"data.x[]": {"not": 1}}, {"x": [1]}),),
    "other_kind": (
        ({"data.x": {"gt": 5}}, {"x": "a"}),
        ({"data.x": {"length": 1}}, {"x": 5}),
        ({"data.x": {"some": {"a": 1}}}, {"x": "a"}),
        ({"data.x[]": 1}, {"x": "a"}),
    ),
    "nothing_to_compare": (({"data.x": {"gt": {"field": "data.y"}}}, {"x": 1}),),
    "empty": (({"data.x[]": 1}, {"x": []}), ({"data.x": {"some": {"a": 1}}}, {"x": []})),
    "no_element": (({"data.x[]": 1}, {"x": [2]}), ({"data.x": {"some": {"a": 1}}}, {"x": [{"a": 2}]})),
    "no_group": (({"any_of": [{"data.x": 1}, {"data.y": 1}]}, {"x": 2}),),
}


@pytest.mark.parametrize("code", CODES)
def test_code(code: str) -> None:
    """The reason has a code."""
    for node, data in CODES[code]:
        assert verdict(node, data).why.code == code, node


def test_false_before_unknown() -> None:
    """What is false is the reason before what is unknown, and of equals the first."""
    assert verdict({"data.absent": 1, "data.a": 2, "data.b": 3}, {"a": 1, "b": 1}).at == "data.a"
    assert verdict({"data.absent": 1, "data.missing": 2}, {}).at == "data.absent"


def test_every_reason() -> None:
    """`explain` shows all conditions that do not hold."""
    asked = compiled({"data.a": 1, "data.b": 1, "data.c": 1})
    assert [said.at for said in asked.every_reason(facts({"b": 1, "c": 2}))] == ["data.a", "data.c"]
    assert asked.every_reason(facts({"a": 1, "b": 1, "c": 1})) == ()


def test_reasons_without_values() -> None:
    """No reason holds the value of a person, whatever the operator."""
    secret = "eva.muster"
    for asked in ("x", {"not": {"prefix": "eva"}}, {"gt": 5}, {"cidr": "192.0.2.0/24"}, {"days": "mon", "zone": "UTC"}):
        for node, data in (({"data.x": asked}, {"x": secret}), ({"data.x[]": asked}, {"x": [secret]})):
            assert secret not in verdict(node, data).why


# What is known before any event comes. -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"type": "a"}, {"type": {"a"}}),
        ({"type": ["a", "b"], "data.s": "x"}, {"type": {"a", "b"}, "data.s": {"x"}}),
        ({"type": ["a", {"prefix": "b"}]}, {}),
        ({"type": ["a", None]}, {}),
        ({"data.n": 5}, {}),  # 5 == 5.0 and 1 == True: no keys for an index
        ({"data.tags[]": "a"}, {}),
        ({"type": {"not": "a"}}, {}),
        ({"any_of": [{"type": "a"}, {"type": ["b", "c"], "data.s": "x"}]}, {"type": {"a", "b", "c"}}),
        ({"any_of": [{"type": "a"}, {"data.s": "x"}]}, {}),
        ({"type": ["a", "b"], "any_of": [{"type": ["b", "c"]}]}, {"type": {"b"}}),
        ({"data.s": {"ignore_case": ["A", "b"]}}, {"data.s in any case": {"a", "b"}}),
        ({"data.s": {"ignore_case": {"prefix": "A"}}}, {}),
        ({"data.s": {"number": 5}}, {}),
    ],
)
def test_equalities(node: dict[str, Any], expected: dict[str, set[str]]) -> None:
    """The texts that a field must equal are known to an index, and only those."""
    known = compiled(node).equalities()
    assert {f"{path}{' in any case' * folded}": texts for (path, folded), texts in known.items()} == expected


@pytest.mark.parametrize(
    "node",
    [
        {"data.n": {"gt": 5, "lt": 5}},
        {"data.n": {"gte": 5, "lt": 5}},
        {"data.n": {"between": [1, 3], "gt": 3}},
        {"data.n": {"gt": 5, "prefix": "a"}},
        {"data.s": {"prefix": "a", "wildcard": "b*", "not": {"prefix": "a"}, "ignore_case": "x", "gt": 1}},
        {"data.s": {"prefix": "ab", "exists": False}},
        {"data.s": "a", "any_of": [{"data.s": "b"}, {"data.s": {"prefix": "c"}}]},
        {"data.s": {"exists": False}, "data.s.t": 1},
        {"any_of": [{"data.n": {"gt": 5, "lt": 3}}]},
        {"data.t[]": {"prefix": ["a", "b"], "exists": True, "gt": 1}},
    ],
)
def test_contradiction(node: dict[str, Any]) -> None:
    """A pattern that no event can match says so."""
    assert compiled(node).contradiction()


@pytest.mark.parametrize(
    "node",
    [
        {},
        {"data.n": {"gte": 5, "lte": 5}},
        {"data.s": {"prefix": "a", "suffix": "b"}},
        {"data.s": {"prefix": ["a", "b"], "not": "a"}},
        {"data.s": [{"exists": False}, {"prefix": "a"}]},
        {"data.s": {"exists": False}, "data.t": {"exists": False}},
        {"data.s": {"exists": False}, "data.s.t": {"exists": False}},
        {"data.s": "a", "any_of": [{"data.s": "b"}, {"data.s": {"prefix": "a"}}]},
        {"data.t[].x": 1, "any_of": [{"data.t[].x": 2}]},
        {"data.begin": {"prefix": "2026", "days": "mon", "zone": "UTC"}},
    ],
)
def test_no_contradiction(node: dict[str, Any]) -> None:
    """A pattern that some event can match is no contradiction."""
    assert compiled(node).contradiction() is None


def test_contradiction_with_the_model() -> None:
    """What the model rules out is a contradiction too."""
    only = FieldScope(
        (type("Closed", (BaseModel,), {"__annotations__": {"status": Literal["confirmed", "canceled"]}}),)
    )
    assert compiled({"data.status": {"prefix": "x"}}, only).contradiction()
    assert compiled({"data.status": {"prefix": "c"}}, only).contradiction() is None


def test_paths() -> None:
    """A pattern knows the fields it reads, those in groups too."""
    assert compiled({"data.a": 1, "any_of": [{"data.t[].b": 1}]}).paths == {"data.a", "data.t[].b"}


# What does not compile. ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "at", "text", "mend"),
    [
        ({"data.stats": 1}, ("data.stats",), "there is no field data.stats", 'did you mean "data.status"?'),
        ({"data.status": "confirmd"}, ("data.status",), 'is never "confirmd"', 'did you mean "confirmed"?'),
        ({"data.status": ["canceled", "x"]}, ("data.status", 1), 'is never "x"', "there is canceled, confirmed"),
        ({"data.status": {"not": "x"}}, ("data.status", "not"), 'is never "x"', "there is canceled, confirmed"),
        ({"data.total": "5"}, ("data.total",), '"5" is text', "write it without quotes"),
        ({"data.total": "five"}, ("data.total",), '"five" is text', "write a number"),
        ({"data.remarks": 5}, ("data.remarks",), "5 is a number", 'write "5" in quotes'),
        ({"data.paid": "yes"}, ("data.paid",), '"yes" is text', "write true or false"),
        ({"data.paid": 1}, ("data.paid",), "1 is a number", "write true or false"),
        ({"data.guests": "x"}, ("data.guests",), "data.guests is a list", "write data.guests[] for any element"),
        ({"data.guests": {"prefix": "x"}}, ("data.guests", "prefix"), "prefix needs text", "data.guests[]"),
        ({"data.total": {"prefix": "x"}}, ("data.total", "prefix"), "data.total is a number, prefix needs text", ""),
        ({"data.remarks": {"gt": 1}}, ("data.remarks", "gt"), "data.remarks is text, gt needs a number", ""),
        ({"data.begin": "2026-11-21"}, ("data.begin",), "no instant is written", "before, after, days or between"),
        ({"data.begin": {"between": ["09:00", "18:00"]}}, ("data.begin", "between"), "needs a zone", "add zone"),
        ({"data.total": {"days": "mon", "zone": "UTC"}}, ("data.total",), "needs an instant", ""),
        ({"data.total": {"gt": "5"}}, ("data.total", "gt"), "gt needs a number", "without quotes"),
        ({"data.total": {"at_least": 5}}, ("data.total", "at_least"), 'there is no operator "at_least"', "there is"),
        ({"data.total": {">=": 5}}, ("data.total", ">="), 'there is no operator ">="', "write gte"),
        ({"data.remarks": {"contains": "x"}}, ("data.remarks", "contains"), "there is no operator", "wildcard"),
        ({"data.total": {"gtt": 5}}, ("data.total", "gtt"), 'there is no operator "gtt"', 'did you mean "gt"?'),
        ({"data.total": {5: 5}}, ("data.total", 5), 'there is no operator "5"', "there is"),
        ({"data.total": {}}, ("data.total",), "asks nothing", "an operator"),
        ({"data.total": []}, ("data.total",), "an empty list", "at least one value"),
        ({"data.total": [[5]]}, ("data.total", 0), "a list inside a list", "write one list"),
        ({"data.total": {"exists": "yes"}}, ("data.total", "exists"), "exists is true or false", "exists: true"),
        ({"data.total": {"not": {"exists": True}}}, ("data.total", "not", "exists"), "inside not", "exists: false"),
        ({"data.total": {"not": {"not": 5}}}, ("data.total", "not", "not"), "not inside not", "without not"),
        ({"data.total": {"not": [{"gt": "x"}]}}, ("data.total", "not", 0, "gt"), "gt needs a number", ""),
        ({"received_at": {"days": "mon", "zone": "x"}}, ("received_at", "zone"), "there is no zone", ""),
        ({"received_at": {"days": "monday", "zone": "UTC"}}, ("received_at", "days"), "there is no day", "mon"),
        ({"data.e-mail": 1}, ("data.e-mail",), "is no path", '["Odd key"]'),
        ({5: 1}, (5,), "a field has a name", ""),
        ({"any_of": {"data.total": 5}}, ("any_of",), "any_of needs a list", ""),
        ({"any_of": []}, ("any_of",), "any_of needs a list", ""),
        ({"any_of": [{}]}, ("any_of", 0), "an empty group matches every event", ""),
        ({"any_of": [5]}, ("any_of", 0), "a pattern is fields", ""),
        ({"any_of": [{"data.stats": 1}]}, ("any_of", 0, "data.stats"), "there is no field", "data.status"),
        ([], (), "a pattern is fields", ""),
        ("{{ data.x }}", (), "a pattern is fields", ""),
    ],
)
def test_wrong(node: Any, at: tuple[str | int, ...], text: str, mend: str) -> None:
    """What is wrong is found at its place, with the mend."""
    findings = wrong(node, BOOKING)
    assert len(findings) == 1
    assert findings[0][0] == at
    assert text in findings[0][1]
    assert mend in findings[0][2]


def test_all_at_once() -> None:
    """All that is wrong is found in one go."""
    node = {"data.stats": 1, "data.total": {"gt": "x", "lt": "y"}, "data.paid": ["x", 5], "any_of": [{"x": 1}]}
    assert [at for at, _, _ in wrong(node, BOOKING)] == [
        ("data.stats",),
        ("data.total", "gt"),
        ("data.total", "lt"),
        ("data.paid", 0),
        ("data.paid", 1),
        ("any_of", 0, "x"),
    ]


@pytest.mark.parametrize(
    ("node", "code"),
    [({"raw.x": 1}, "raw"), ({"data.total": None}, "never_null"), ({"data.total": [5, None]}, "never_null")],
)
def test_warnings(node: dict[str, Any], code: str) -> None:
    """What is doubtful compiles, with a warning."""
    findings: list[Finding] = []
    pattern.compile_pattern(node, BOOKING, findings)
    assert [(finding.code, finding.severity) for finding in findings] == [(code, "warning")]


def test_too_large() -> None:
    """Groups in groups that double without end, as YAML's anchors make them, are refused quickly."""
    node: Any = {"data.x": 1}
    for _ in range(40):
        node = {"any_of": [node, node, node]}
    started = time.process_time()
    findings: list[Finding] = []
    pattern.compile_pattern(node, FieldScope(), findings)
    assert {finding.code for finding in findings} == {"too_large"}
    assert time.process_time() - started < 5


# Anything. -----------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=True) | st.sampled_from(["a", "b", "ab", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["prefix", "suffix", "wildcard", "ignore_case", "gt", "lte", "between", "exists", "not", "cidr", "days", "zone"]
ASKED = st.recursive(
    JSON | st.dictionaries(st.sampled_from(NAMES), JSON, max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=2),
    max_leaves=4,
)
FIELDS = st.sampled_from(
    ["data.x", "data.x[]", "data.x[].y", "data.x[].y[].z", "data.y.z", "data.x[y=1]", "data[", "type"]
)
PATTERNS = st.recursive(
    st.dictionaries(FIELDS, ASKED, max_size=3),
    lambda inner: st.fixed_dictionaries({"any_of": st.lists(inner, max_size=2)}),
    max_leaves=3,
)


@settings(max_examples=400)
@given(PATTERNS | JSON, JSON)
def test_anything(node: Any, data: Any) -> None:
    """Whatever a book and an event hold, there are findings or a verdict, and never anything else."""
    findings: list[Finding] = []
    made = pattern.compile_pattern(node, BOOKING if data is None else FieldScope(), findings)
    said = made.test(facts(data))
    assert said.truth in Truth
    assert (said.truth is Truth.TRUE) is (not said.why)
    assert made.fires(facts(data)) is (said.truth is Truth.TRUE)
    assert len(made.every_reason(facts(data))) == 0 or said.truth is not Truth.TRUE
    if made.contradiction() and not findings:
        assert said.truth is not Truth.TRUE
    for path, texts in made.equalities().items():
        assert all(isinstance(text, str) for text in texts), path


def test_fast() -> None:
    """A rule of three fields is judged in microseconds; the bound here is loose, `make bench` measures."""
    asked = compiled(
        {"type": ["booking.created", "order.created"], "data.status": "confirmed", "data.total": {"gt": 0}}
    )
    event = facts({"status": "confirmed", "total": 12.5})
    started = time.process_time()
    for _ in range(2_000):
        assert asked.fires(event)
    assert time.process_time() - started < 0.1


def test_findings_are_plain() -> None:
    """Findings can be written as JSON, whatever the keys were."""
    assert json.dumps([at for at, _, _ in wrong({5: 1, "data.x": {True: 1}})])


@pytest.mark.parametrize(
    ("node", "text", "mend"),
    [
        ({"data.x": {"is": "confirmed"}}, "is takes boolean, list, null", "without is: before it"),
        ({"data.x": {"number": {"not": 5}}}, "not inside number", "write not: and number: under it"),
        ({"data.x": {"length": {"exists": True}}}, "exists inside length", "write exists beside it"),
        ({"data.x": {"number": {"length": 5}}}, "length inside another view", "in one of them"),
        ({"data.x": {"number": "5"}}, '"5" is text', "without quotes"),
        ({"data.x": {"ignore_case": 5}}, "5 is a number", '"5"'),
        ({"data.x": {"gt": {"field": "dta.y"}}}, 'no "dta"', 'did you mean "data"'),
        ({"data.x": {"gt": {"field": "data.l[].y"}}}, "no single field", "some:"),
        ({"data.x": {"field": 5}}, "needs the path", "data.booker.email"),
        ({"data.x": {"field": "element.y"}}, 'no "element"', ""),
        ({"data.x": {"some": {}}}, "asks nothing", ""),
        ({"received_at": {"older_than": "1d"}}, "counted up to received_at", "another time"),
    ],
)
def test_wrong_of_views_and_fields(node: Any, text: str, mend: str) -> None:
    """What cannot be looked at, compared or asked of an element is wrong, with a mend."""
    ((_, said, how),) = wrong(node)
    assert text in said
    assert mend in how


def test_wrong_types_of_views_and_fields() -> None:
    """Where the type of a field is known, the check knows what can never be."""
    scope = FieldScope(
        extra_fields={"total": "number", "name": "text", "begin": "instant", "lines": "list", "paid": "boolean"}
    )
    for node, text in (
        ({"data.total": {"ignore_case": "a"}}, "data.total is a number, ignore_case needs text"),
        ({"data.paid": {"number": 5}}, "data.paid is true or false, number needs a number or text"),
        ({"data.total": {"some": 5}}, "data.total is a number, some needs a list"),
        ({"data.total": {"length": 5}}, "data.total is a number, length needs a list or text"),
        ({"data.total": {"field": "data.name"}}, "data.total is a number, data.name is text"),
        ({"data.name": {"before": "2026-01-01", "zone": "UTC"}}, "data.name is text, before needs an instant"),
        ({"data.total": {"is": "list"}}, "data.total is a number, is needs a list"),
    ):
        assert [said for _, said, _ in wrong(node, scope)] == [text]
    for good in (
        {"data.begin": {"before": {"field": "time"}}},
        {"data.lines": {"some": {"price": {"number": {"gt": 5}}}, "length": {"gt": 1}}},
        {"data.name": {"ignore_case": {"field": "data.name"}, "length": 3}},
    ):
        assert wrong(good, scope) == []


def test_some_of_a_model() -> None:
    """Fields of an element are checked against its model, also where they are called like an operator."""

    class Line(BaseModel):
        number: int
        title: str

    class Order(BaseModel):
        lines: list[Line] = []

    scope = FieldScope(data_models=[Order])
    assert wrong({"data.lines": {"some": {"number": 5}}}, scope) == []
    ((at, text, mend),) = wrong({"data.lines": {"some": {"titel": "a"}}}, scope)
    assert (at, text) == (("data.lines", "some", "titel"), "there is no field element.titel")
    assert mend == 'did you mean "element.title"?'
    assert compiled({"data.lines": {"some": {"number": {"gt": 5, "lt": 3}}}}, scope).contradiction() is not None


def test_reasons_of_comparisons() -> None:
    """A comparison between fields says which fields, and never what is in them."""
    data = {"email": "eva@example.org", "other": "ada@example.org", "guests": [{"email": "ada@example.org"}]}
    for node, why in (
        ({"data.email": {"field": "data.other"}}, "data.email is not the same as data.other"),
        ({"data.email": {"gt": {"field": "data.none"}}}, "nothing to be compared with: data.none is absent"),
        ({"data.guests[].email": {"field": "data.email"}}, "no element of data.guests where email is the same as"),
        ({"data.guests": {"some": {"email": {"field": "data.email"}}}}, "fits: email is the same as data.email"),
    ):
        said = verdict(node, data)
        assert why in said.why
        assert "example.org" not in said.why
    assert "data.other" in compiled({"data.email": {"field": "data.other"}}).paths
