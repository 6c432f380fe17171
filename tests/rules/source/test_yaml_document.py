import pytest

from rules.source import yaml_document
from rules.source.problem import Problem


def read(text: str) -> tuple[yaml_document.Document | None, list[Problem]]:
    problems: list[Problem] = []
    return yaml_document.read(text.encode("utf-8", "surrogatepass"), "book.yaml", problems), problems


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("12", 12),
        ("-1.5", -1.5),
        ("1e3", 1000.0),
        ("01067", "01067"),
        ("18:30", "18:30"),
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("+4930123", "+4930123"),
        ("2026-11-21", "2026-11-21"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        (".5", ".5"),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        ("~", "~"),
        ("True", "True"),
        ('"12"', "12"),
        ("'true'", "true"),
        ("9" * 50, "9" * 50),
    ],
)
def test_scalar(written: str, value: object) -> None:
    """Only true, false, null and plain numbers are typed; everything else is text as written."""
    doc, problems = read(f"key: {written}\n")
    assert problems == []
    assert doc is not None
    assert doc.value == {"key": value}
    assert type(doc.value["key"]) is type(value)


def test_keys_are_text() -> None:
    """A key is text, whatever it looks like."""
    doc, _ = read("on: 1\n12: 2\ntrue: 3\n")
    assert doc is not None
    assert doc.value == {"on": 1, "12": 2, "true": 3}


def test_where() -> None:
    """Each key and each value has its line and column, counted from 1."""
    doc, _ = read("rules:\n  - name: one\n    when:\n      type: [a, b]\n")
    assert doc is not None
    assert doc.where(("rules", 0, "when", "type")) == yaml_document.Position("book.yaml", 4, 13)
    assert doc.where(("rules", 0, "when", "type"), key=True) == yaml_document.Position("book.yaml", 4, 7)
    assert doc.where(("rules", 0, "when", "type", 1)) == yaml_document.Position("book.yaml", 4, 17)
    assert doc.where(("rules", 0, "missing", "x")) == yaml_document.Position("book.yaml", 2, 5)


def test_anchor_and_merge() -> None:
    """An anchor is written once and used often; `<<` merges, and what is written beside it wins."""
    doc, problems = read("vars:\n  a: &a\n    x: 1\n    y: 2\n  b:\n    <<: *a\n    y: 3\n")
    assert problems == []
    assert doc is not None
    assert doc.value["vars"]["b"] == {"x": 1, "y": 3}
    assert doc.where(("vars", "b", "x")).line == 3


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("a: 1\na: 2\n", "duplicate_key", 2, 1),
        ("a:\n\tb: 1\n", "tab", 2, 1),
        ("a:\t1\n", "tab", 1, 3),
        ("a: {{ b }}\n", "unquoted_template", 1, 4),
        ("a: {{ b['c'] }} d\n", "unquoted_template", 1, 4),
        ("a: b {{ c }}\n", "unquoted_template", 1, 4),
        ("a: *@b\n", "unquoted_star", 1, 4),
        ("a: *b\n", "unquoted_star", 1, 4),
        ("a: @b\n", "unquoted_sign", 1, 4),
        ("a: b: c\n", "not_yaml", 1, 5),
        ("a: 'b\n", "not_yaml", 2, 1),
        ("&a [*a]\n", "recursive_alias", 1, 5),
        ("[" * 100_000, "too_deep", 1, 66),
        ("a: !!python/object:os.system b\n", "tag", 1, 4),
        ("--- 1\n--- 2\n", "second_document", 2, 1),
        ("? [a]\n: b\n", "odd_key", 1, 3),
        ("a: \x00\n", "bad_character", 1, 4),
    ],
)
def test_trap(text: str, code: str, line: int, column: int) -> None:
    """Each trap of YAML has its own message at its place."""
    _, problems = read(text)
    assert [(problem.code, problem.line, problem.column) for problem in problems] == [(code, line, column)]


@pytest.mark.parametrize(
    "text",
    [
        'a: "{{ b }}"\n',
        "a: '*@example.org'\n",
        "a: |\n  {{ b }}\n  \tc\n",
        'a: "b\tc"\n',
        "# a\tb\na: 1\n",
        "a: b*c\n",
        "a: 5 * 3\n",
    ],
)
def test_no_trap(text: str) -> None:
    """Quoted text, block text and comments may hold what would be a trap elsewhere."""
    _, problems = read(text)
    assert problems == []


def test_goes_on() -> None:
    """Several traps of one file are found at once."""
    _, problems = read("a: 1\na: 2\nb: {{ c }}\nd: x {{ y }}\ne: *f\n")
    assert [problem.code for problem in problems] == [
        "duplicate_key",
        "unquoted_template",
        "unquoted_template",
        "unquoted_star",
    ]


def test_billion_laughs() -> None:
    """Aliases of aliases end at a bound, before they fill the memory."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    _, problems = read("\n".join(lines))
    assert [problem.code for problem in problems] == ["too_many_aliases"]


def test_not_utf8() -> None:
    """A file in another encoding is refused at the first byte that does not fit."""
    problems: list[Problem] = []
    assert yaml_document.read("a: 1\nb: Müller\n".encode("latin-1"), "book.yaml", problems) is None
    assert [(problem.code, problem.line, problem.column) for problem in problems] == [("not_utf8", 2, 5)]


def test_too_large() -> None:
    """A file beyond the bound is refused unread."""
    problems: list[Problem] = []
    assert yaml_document.read(b"#" * (yaml_document.MAX_BYTES + 1), "book.yaml", problems) is None
    assert [problem.code for problem in problems] == ["too_large"]
