"""What looks like something else is named, with place and mend. The tests are named after the cases of the field."""

import unicodedata

import pytest

from rules.source import look_alikes
from rules.source.problem import Problem
from tests.rules import writing
from tests.rules.asking import rendered, truth, wrong, yaml

RULE = """
rules:
  - name: looked at
    when:
      source: shop
      type: order.paid
      {when}
    then:
      - crm.add_note:
          email: "{{{{ data.email }}}}"
          text: {text}
"""


def problems(when: str = "data.a: b", text: str = "Hello", *, swap: tuple[str, str] = ("", "")) -> list[Problem]:
    """Return what the check says of a rule with this condition and this text."""
    return list(writing.checked(RULE.format(when=when, text=text).replace(*swap)).problems)


def only(found: list[Problem]) -> Problem:
    assert len(found) == 1, [str(problem) for problem in found]
    return found[0]


@pytest.mark.parametrize(
    ("word", "mend"),
    [
        ("yes", "true"),
        ("TRUE", "true"),
        ("True", "true"),
        ("NO", "false"),
        ("off", "false"),
        ("Null", "null"),
        ("~", "null"),
        ("None", "null"),
        ("19,99", "a number as 19.99"),
        ("−5", "a number as 19.99"),
        ("１２", "a number as 19.99"),
        (".5", "a number as 19.99"),
    ],
)
def test_y1b_words_of_other_readers(word: str, mend: str) -> None:
    """A text that others read as true, null or a number is a doubt, with what to write; in quotes it is meant."""
    said = only(problems(f"data.paid: {word}"))
    assert (said.severity, said.code, said.line, said.column) == ("warning", "looks_typed", 7, 18)
    assert said.mend == f"write {mend}; if the text is meant, put it in quotes"
    assert only(problems(f"data.paid:\n        - true\n        - {word}")).code == "looks_typed"
    assert only(problems(f"data.paid:\n        not: {word}")).code == "looks_typed"
    assert problems(f'data.paid: "{word}"') == []


@pytest.mark.parametrize("word", ["TRUE", "Null", "~", "yes"])
def test_y1b_words_in_arguments(word: str) -> None:
    """The same words in an argument, and in a constant, are a doubt: they are sent as they stand."""
    said = only(problems(text=word))
    assert (said.code, said.severity, said.line) == ("looks_typed", "warning", 11)
    assert said.text.endswith("sent as it stands")
    assert problems(text=f'"{word}"') == []
    (constant,) = writing.checked(f"vars:\n  a: {word}\n").problems
    assert (constant.code, constant.line) == ("looks_typed", 2)


def test_y10_no_rules_above() -> None:
    """A list at the top of a file, or a single rule, is told to stand under `rules:`."""
    said = only(problems(swap=("rules:\n", "")))
    assert (said.text, said.mend) == (
        "a book file must be a mapping, not a list",
        "write rules: above it, and indent the list",
    )
    text = "name: one\nwhen:\n  type: order.paid\nthen:\n  - crm.add_note:\n      text: x\n"
    assert only(list(writing.checked(text).problems)).mend == "write rules: above it, and a dash before its name"
    tests = "- name: one\n  given:\n    source: shop\n"
    assert only(list(writing.checked(tests).problems)).mend == "write tests: above it, and indent the list"


def test_y11_then_too_deep() -> None:
    """`then` among the conditions: the rule has none, and among the conditions there is no such field."""
    said = problems(swap=("    then:", "      then:"))
    assert [(problem.line, problem.code) for problem in said] == [(3, "missing_key"), (8, "unknown_field")]


def test_y12_arguments_not_indented() -> None:
    """Arguments beside their action are no actions."""
    said = problems(swap=("          ", "        "))
    assert {problem.code for problem in said} == {"missing_argument", "unknown_key"}
    assert {problem.line for problem in said} == {9, 10, 11}


def test_y13_when_in_capitals() -> None:
    """`When:` is meant as `when:`."""
    assert 'did you mean "when"?' in [problem.mend for problem in problems(swap=("when:", "When:"))]


def test_y16_template_in_curly_quotes() -> None:
    """A template in curly quotes is not quoted, and the message says what the reader sees."""
    said = only(problems(swap=('"{{ data.email }}"', "“{{ data.email }}”")))
    assert said.text == "these are curly quotes, this template is not quoted"
    inside = only(problems(text='"{{ data.x | default(‘’) }}"'))
    assert inside.mend == "write straight quotes; ‘ is U+2018 (left single quotation mark)"


@pytest.mark.parametrize("quoted", ["“confirmed”", "„confirmed“", "‘confirmed’", "«confirmed»", "´confirmed´"])
def test_y17_value_in_curly_quotes(quoted: str) -> None:
    """A value in curly quotes has them in it, which is a doubt wherever it stands."""
    for when in (f"data.status: {quoted}", f"data.status: [{quoted}, 5]", f"data.status:\n        not: {quoted}"):
        said = only(problems(when))
        assert (said.severity, said.mend) == ("warning", 'write straight quotes: "confirmed"')
    assert problems(f'data.status: "{quoted}"') == []
    assert only(problems(text=quoted)).code == "curly_quotes"


@pytest.mark.parametrize("half", ["“confirmed", "confirmed“", "„confirmed", "confirmed»"])
def test_y17_half_a_pair(half: str) -> None:
    """A curly quote at one end is a part of the text, too; an apostrophe is what it is, and so are inner quotes."""
    assert only(problems(f"data.status: {half}")).mend == 'write straight quotes: "confirmed"'
    for text in ("Hans’", "’s ist gut", "sie sagte „ja“", "5′", "Eva’s Kurs"):
        assert problems(text=text) == [], text


def test_y17_one_quote_curly() -> None:
    """A straight quote that is closed by a curly one swallows the lines below: the line with the curly one is named."""
    said = only(problems('data.status: "confirmed”'))
    assert (said.line, said.text) == (7, "a U+201D (right double quotation mark) stands here")


@pytest.mark.parametrize(
    ("when", "text", "line"),
    [
        ("data.a: b", "Ticket #12 for {{ data.email }}", 11),
        ("data.a: b", "Ticket # 12 for {{ data.email }}", 11),
        ("data.ticket: no #12", "x", 7),
        ("data.ticket: #12", "x", 7),
        ("data.ticket:\n        - #12\n        - b", "x", 8),
    ],
)
def test_y20_text_cut_by_a_comment(when: str, text: str, line: int) -> None:
    """What a # cuts off is a doubt; a comment with a blank after its # is none, nor is a # in quotes."""
    said = only([problem for problem in problems(when, text) if problem.code != "looks_typed"])
    assert (said.code, said.line, said.severity) == ("cut_by_comment", line, "warning")
    assert problems("data.a: b # a remark", '"Ticket #12"') == []


def test_y38_invisible_sign() -> None:
    """An invisible sign is named by its code point, in a path, in a value and in a comment."""
    path, place = problems("data.x\u200b: 1")
    assert path.text == "in the path data.x\u200b stands an invisible sign, U+200B (zero width space)"
    assert "\u200b" not in str(path)
    assert "data.xU+200B" in str(path)
    assert (place.code, place.severity, place.column) == ("invisible_sign", "warning", 13)
    for sign in "\u200b\u200e\u200f\u202e\u2066\u00ad\ufeff\u2060\u3164":
        assert only(problems(f"data.x: con{sign}firmed")).code == "invisible_sign"
        assert only(problems(f"data.x: b # {sign}")).code == "invisible_sign"
    assert problems('data.x: "con\\u200Bfirmed"') == []
    assert only(problems("data.x: con\ufe0ffirmed")).code == "invisible_sign"
    assert problems(text="👩\u200d💻 می\u200cخواهم ❤\ufe0f 1\ufe0f\u20e3") == []


def test_y38_letter_of_another_alphabet() -> None:
    """A Cyrillic letter between Latin ones is named."""
    said = only(problems("data.st\u0430tus: confirmed"))
    assert said.text == 'the "\u0430" here is U+0430 (cyrillic small letter a), between Latin letters'
    assert problems("data.x: Борис") == []
    assert only(problems("data.x: con\ufb01rmed")).text.startswith(
        'the "\ufb01" here is U+FB01 (latin small ligature fi)'
    )
    assert only(problems("data.x: \uff43onfirmed")).code == "foreign_letter"
    assert problems("data.x: \uff43\uff4f") == []


@pytest.mark.parametrize("when", ["data.x:\u00a0confirmed", "data.x: confirmed\u00a0", "data.x: \u3000confirmed"])
def test_y38_odd_space(when: str) -> None:
    """A no-break space beside a value is named."""
    assert only(problems(when)).code == "hard_space"


def test_y38_odd_space_inside() -> None:
    """A no-break space between words is named, unless the text stands in quotes."""
    said = only(problems("data.city: New\u00a0York"))
    assert (said.code, said.severity) == ("hard_space", "warning")
    assert said.text == "this text has inside a U+00A0 (no-break space)"
    assert problems('data.city: "New\u00a0York"') == []


@pytest.mark.parametrize("dash", "–—−‐•")
def test_dash_of_a_list(dash: str) -> None:
    """A list whose dash is none is an error that names the sign, before an action and before a value."""
    for said in (problems(swap=("- crm", f"{dash} crm")), problems(f"data.a:\n        {dash} b\n        {dash} c")):
        (found,) = [problem for problem in said if problem.code == "odd_dash"]
        assert (found.severity, found.mend) == ("error", "start each entry with a plain -")
    assert problems(text=f"so {dash} or so") == []


def test_dash_of_days_and_numbers() -> None:
    """A range of days with a long dash, and a minus that is none, are named."""
    (days,) = wrong({"received_at": {"days": "mon–fri", "zone": "UTC"}})
    (number,) = wrong({"data.x": {"gt": "−5"}})
    assert days[2] == "write a plain -; this is U+2013 (en dash)"
    assert number[2] == "write a plain minus; this is U+2212 (minus sign)"


def test_git_conflict() -> None:
    """A conflict of git is one error, at its first line."""
    said = only(problems("data.a: b\n<<<<<<< HEAD\n      data.b: c\n=======\n      data.b: d\n>>>>>>> theirs"))
    assert (said.line, said.code, said.severity) == (8, "git_conflict", "error")
    for left in ("=======", ">>>>>>> theirs", "||||||| base", "=======\r"):
        assert only(problems(f"data.a: b\n{left}\n      data.b: c")).code == "git_conflict"


def test_wide_colon() -> None:
    """A colon of another alphabet is named."""
    assert only(problems("data.begin： x")).text == "a U+FF1A (fullwidth colon) stands here"


def test_t1_number_that_may_be_text() -> None:
    """A number asked of a field of which nobody says that it is one is a doubt; of a text field it is an error."""
    said = only(problems("data.total: {gt: 10}"))
    assert (said.severity, said.code) == ("warning", "undeclared_number")
    assert "fields:" in said.mend
    declared = ("    read:\n      type: body.event", "    read:\n      type: body.event\n    fields:\n      total: ")
    for kind, codes in (("number", []), ("text", ["wrong_type"])):
        book = RULE.format(when="data.total: {gt: 10}", text="x")
        systems = writing.SYSTEMS.replace(declared[0], declared[1] + kind)
        assert [problem.code for problem in writing.checked_with(systems, book).problems] == codes


@pytest.mark.parametrize(
    "when",
    [
        "received_at: [{days: wed, zone: UTC}, {between: [09:00, 10:00], zone: UTC}]",
        "data.status: [{not: a}, {not: b}]",
        "data.begin: [{days: wed, zone: UTC}, {between: [09:00, 10:00], zone: UTC}]",
        "data.begin: [{after: 2026-01-01, zone: UTC}, {before: 2026-02-01, zone: UTC}]",
        "data.begin: [{older_than: 3d}, {newer_than: 30d}]",
        "data.total: [{number: {gte: 10}}, {number: {lte: 20}}]",
        "data.guests: [{length: {gte: 1}}, {length: {lte: 4}}]",
        "data.status: [{exists: true}, {prefix: a}]",
        "data.status: [{not: a}, b]",
    ],
)
def test_t2_list_meant_as_and(when: str) -> None:
    """A list whose entries leave nothing out, or are days here and times there, was probably meant as AND."""
    assert only(problems(when)).code == "or_for_and"


def test_t2_ranges() -> None:
    """Of two ranges that overlap everything is inside; of two that do not, the list says something."""
    assert "or_for_and" in [problem.code for problem in problems("data.n: [{gte: 10}, {lte: 20}]")]
    assert "or_for_and" not in [problem.code for problem in problems("data.n: [{lt: 10}, {gt: 20}]")]
    for apart in (
        "data.begin: [{before: 2026-01-01, zone: UTC}, {after: 2026-02-01, zone: UTC}]",
        "data.begin: [{older_than: 30d}, {newer_than: 3d}]",
        "data.status: [{exists: false}, {not: a}]",
        "data.status: [{exists: false}, {prefix: a}]",
    ):
        assert problems(apart) == [], apart
    assert problems("received_at: [{days: sat, zone: UTC}, {days: mon, between: [09:00, 10:00], zone: UTC}]") == []


BETWEEN = "write after: 2026-01-01, before: 2026-02-01 and a zone, beside each other; they leave both days out"


@pytest.mark.parametrize(
    ("asked", "mend"),
    [
        ("{lt: 2026-01-01}", "write before: 2026-01-01"),
        ("{gte: 2026-01-01}", "write after: 2026-01-01"),
        ("{before: 2026-01-01}", "add zone: Europe/Berlin"),
        ("{after: soon}", "write after: 2026-01-31, and zone: beside it"),
        ("{older_than: 30}", "write older_than: 30d"),
        ("{since: 2026-01-01}", "write after"),
        ("{between: [2026-01-01, 2026-02-01]}", BETWEEN),
        ("{between: [2026-01-01, 2026-02-01], zone: UTC}", BETWEEN),
    ],
)
def test_t4_dates(asked: str, mend: str) -> None:
    """A date asked as a number, without a zone, or in other words gets the word that says it."""
    assert only(problems(f"data.begin: {asked}")).mend == mend
    assert problems("data.begin: {before: 2026-01-01, zone: Europe/Berlin}") == []


@pytest.mark.parametrize(
    "asked", ["{after: 2026-02-01, before: 2026-01-01, zone: UTC}", "{older_than: 30d, newer_than: 3d}"]
)
def test_t4_empty_spans(asked: str) -> None:
    """A span that nothing is in is a doubt."""
    assert only(problems(f"data.begin: {asked}")).code == "never_matches"


@pytest.mark.parametrize(
    ("path", "mend"),
    [
        ("data.firstName", "write data.first_name"),
        ("data.order.Total", "write data.order.total"),
        ("data.lines[].taxRate", "write data.lines[].tax_rate"),
        ('data["firstName"]', "write data.first_name"),
    ],
)
def test_places_that_are_never_found(path: str, mend: str) -> None:
    """A name as the sender writes it is refused: `data` has all of them in snake_case."""
    said = only(problems(f"{path}: a"))
    assert (said.code, said.severity, said.mend) == ("unknown_field", "error", mend)
    if "[]" not in path:
        assert only(problems(text=f"'{{{{ {path} }}}}'")).mend == mend
    for named in ('data["Lieblingsfarbe des Gastes"]', "data.additional_fields.Farbe", "data.Größe"):
        assert problems(f"{named}: a") == [], named
    declared = writing.SYSTEMS.replace(
        "      type: body.event", "      type: body.event\n    fields:\n      firstName: text"
    )
    (wrong_name,) = writing.checked_with(declared, RULE.format(when="data.a: b", text="x")).problems
    assert (wrong_name.code, wrong_name.mend) == ("bad_path", "write data.first_name")


@pytest.mark.parametrize("path", ["data.events[0].type", "data.events.0.type", "raw.events[0].type"])
def test_positions_are_refused(path: str) -> None:
    """A position in the path of a condition finds nothing yet: it is refused, with what finds elements."""
    (said,) = [each for each in problems(f"{path}: a") if each.severity == "error"]
    assert said.code == "bad_path"
    assert said.mend.startswith("name the element by a field, [id=12], or take any with []")


def test_t5_not_over_a_list() -> None:
    """`not` under `[]` is about all elements: a doubt, with how to ask it of one element, and of none."""
    together = "data.guests[].status: confirmed\n      data.guests[].marker: {not: test}"
    said = only(problems(together))
    assert (said.code, said.severity, said.line) == ("no_element", "warning", 8)
    assert said.mend == (
        "for one element that is not so, write data.guests: some: marker: not: …; "
        "for no element at all, data.guests: not: some: marker: …"
    )
    guests = [{"status": "confirmed", "marker": "ok"}, {"status": "pending", "marker": "test"}]
    asked = {"status": "confirmed", "marker": {"not": "test"}}
    assert truth({f"data.guests[].{key}": each for key, each in asked.items()}, {"guests": guests}) == "false"
    assert truth({"data.guests": {"some": asked}}, {"guests": guests}) == "true"
    for doubtful in (
        "data.guests[].age: {gte: 18, not: 20}",
        "data.guests[].lines[].tax: {not: 0}",
        "data.labels[]: {not: internal}",
        "data.guests[].status: confirmed\n      data.guests[].marker: {exists: false}",
    ):
        assert "no_element" in [problem.code for problem in problems(doubtful)], doubtful
    for plain in (
        "data.guests: {some: {status: confirmed, marker: {not: test}}}",
        "data.guests: {not: {some: {marker: test}}}",
        "data.guests[].marker: {exists: false}",
        "data.guests[].status: confirmed",
    ):
        assert problems(plain) == [], plain


SIZE = "Größe"
SIZE_IN_PARTS = unicodedata.normalize("NFD", SIZE)


@pytest.mark.parametrize("word", [SIZE, SIZE_IN_PARTS])
@pytest.mark.parametrize("sent", [SIZE, SIZE_IN_PARTS])
def test_composed_letters(word: str, sent: str) -> None:
    """A letter with dots is the same however it is composed: in values, keys, lists, texts, and in the index."""
    for asked in (
        word,
        [word, "b"],
        [word, 5],
        {"prefix": word},
        {"suffix": word},
        {"wildcard": f"{word}*"},
        {"ignore_case": word.upper()},
    ):
        assert truth({"data.x": asked}, {"x": sent}) == "true"
    assert truth({f"data.{word}": 1}, {sent: 1}) == "true"
    assert truth({f"data.x.{word}": 1}, {"x": {sent: 1}}) == "true"
    assert truth({f'data.x[name="{word}"].n': 1}, {"x": [{"name": sent, "n": 1}]}) == "true"
    (template,) = yaml(f"[\"{{{{ data.{word} }}}}{{{{ data.x == '{word}' }}}}\"]")
    assert rendered(template, {sent: "L", "x": sent}) == "Ltrue"
    (template,) = yaml(f"[\"{{{{ data.x | translate({{'{word}': 'size'}}) }}}}\"]")
    assert rendered(template, {"x": sent}) == "size"
    book = writing.book(
        "rules:"
        + "".join(
            f'\n  - name: r{n}\n    when:\n      source: shop\n      type: order.paid\n      data.x: "{word}{n}"\n'
            '    then:\n      - crm.add_note:\n          email: "{{ data.email }}"\n          text: x\n'
            for n in range(30)
        )
    )
    fired = book.match(writing.event("order.paid", "shop", x=f"{sent}7", email="eva@example.org")).fired
    assert [rule.name for rule in fired] == ["r7"]


def test_typed_mend() -> None:
    """What looks like text is no doubt."""
    assert [look_alikes.typed_mend(text) for text in ("confirmed", "01067", "+4930123", "18:30", "2026-11-21")] == [
        ""
    ] * 5


def test_a_star_in_a_text_stands_for_nothing_else() -> None:
    """A text with a star at its begin or end was probably meant as a pattern; within a word it is spelling."""
    found = only(problems('data.email: "*@example.org"'))
    assert (found.code, found.severity) == ("star", "warning")
    assert found.mend == 'if it stands for any text, write wildcard: "*@example.org"'
    assert only(problems("data.email: [a@example.org, 'VIP*']")).code == "star"
    for meant in ('{wildcard: "*@example.org"}', "Kund*innen", '"*"'):
        assert problems(f"data.email: {meant}") == []


@pytest.mark.parametrize(
    ("written", "mend"),
    [('">5"', "gt: 5"), ('"<= 19.99"', "lte: 19.99"), ('["a", "!=3"]', "not: 3"), ('">= -1"', "gte: -1")],
)
def test_a_comparison_in_a_text(written: str, mend: str) -> None:
    """A text that other languages read as a comparison was probably meant as one."""
    found = only(problems(f"data.total: {written}"))
    assert (found.code, found.severity, found.mend) == ("comparison", "warning", f"if numbers are meant, write {mend}")


def test_no_comparison_in_a_text() -> None:
    """A sign before something else than a number alone is part of a text."""
    for meant in ('"> 5 Personen"', '"<b>"', '"5"', '"=5"'):
        assert problems(f"data.total: {meant}") == []
