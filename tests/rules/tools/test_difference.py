import json
import textwrap

import pytest

from rules.tools import difference

RULES = """
rules:
  - name: noted
    when:
      type: order.paid
      data.total: {gt: 0}
    unless:
      data.reason: test
    then:
      - crm.add_note:
          email: "{{ data.email }}"
          text: Paid.
        only_if:
          data.phone: {exists: true}
        next:
          - crm.set_consent:
              email: "{{ data.email }}"
              newsletter: false
  - name: dropped
    when:
      type: order.placed
    then: nothing
"""


def changed(new: str, old: str = RULES) -> list[tuple[str, str, str, tuple[str, ...]]]:
    found = difference.compare({"a.yaml": textwrap.dedent(old)}, {"a.yaml": textwrap.dedent(new)})
    assert json.loads(json.dumps([change.as_json() for change in found]))[0:1] is not None
    return [(change.what, change.kind, change.name, change.lines) for change in found]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "{gt: 0}",
            "{gt: 10}",
            "asks data.total is greater than 10 (before: data.total is greater than 0)",
        ),
        ("      data.total: {gt: 0}\n", "", "no longer asks data.total is greater than 0"),
        ("{gt: 0}", "{gt: 0}\n      data.city: Bern", 'also asks data.city is "Bern"'),
        ("reason: test", "reason: spam", 'is held back where data.reason is "spam" (before: data.reason is "test")'),
        ("text: Paid.", "text: Sent.", "crm.add_note: text is Sent. (was Paid.)"),
        ("          text: Paid.\n", "", "crm.add_note: text is gone (was Paid.)"),
        ("exists: true", "exists: false", "crm.add_note: asks data.phone does not exist (before: data.phone exists)"),
        ("newsletter: false", "newsletter: true", "crm.add_note: then crm.set_consent: newsletter is true (was false)"),
        ("    unless:", "    delay: 5m\n    unless:", "delay is 5m, and was not there"),
        ("    unless:", "    description: Why.\n    unless:", "description is Why., and was not there"),
    ],
)
def test_rule(old: str, new: str, line: str) -> None:
    """What changed at a rule is said in words, a sentence each."""
    assert old in RULES
    assert changed(RULES.replace(old, new, 1)) == [("changed", "rule", "noted", (line,))]


def test_actions() -> None:
    """Actions that come, go or change places are named."""
    old = "rules:\n  - name: a\n    when: {type: x.y}\n    then:\n      - crm.a: {x: 1}\n      - crm.b: {}\n"
    assert changed(old.replace("crm.a", "crm.c"), old)[0][3] == ("no longer sends crm.a", "also sends crm.c")
    swapped = "rules:\n  - name: a\n    when: {type: x.y}\n    then:\n      - crm.b: {}\n      - crm.a: {x: 1}\n"
    assert changed(swapped, old)[0][3] == ("sends in another order: crm.b, crm.a",)
    twice = old + "      - crm.b: {y: 2}\n"
    assert changed(twice, old)[0][3] == ("also sends crm.b (2)",)


def test_came_went_moved() -> None:
    """Rules that came, went, or stand before another one than they did; a move to a group changes nothing."""
    first, second = RULES.split("  - name: dropped")
    assert changed(first) == [("removed", "rule", "dropped", ())]
    assert changed(RULES, first) == [("added", "rule", "dropped", ())]
    swapped = "rules:\n  - name: dropped" + second + first.removeprefix("\nrules:\n")
    assert changed(swapped) == [("moved", "rule", "dropped", ('stands before "noted" now',))]
    group = RULES.replace(
        "  - name: dropped\n    when:\n      type: order.placed\n    then: nothing\n",
        "  - group: g\n    when:\n      type: order.placed\n    rules:\n      - name: dropped\n        then: nothing\n",
    )
    assert group != RULES
    assert changed(group) == []


def test_no_secret() -> None:
    """How a system is reached or verified is never shown; its pace is."""
    old = """
    sources:
      shop:
        kind: generic
        retain: 7d
        verify: {none: hush-hush}
    alerts: {webhook: "https://hush-hush.example.org"}
    vars: {greeting: Hello}
    """
    new = old.replace("hush-hush", "hush-again").replace("7d", "8d").replace("Hello", "Welcome")
    found = changed(new, old)
    assert found == [
        ("changed", "source", "shop", ("retain is 8d (was 7d)", "verify is another")),
        ("changed", "alerts", "webhook", ("it is another",)),
        ("changed", "var", "greeting", ("it is Welcome (was Hello)",)),
    ]
    assert "hush" not in json.dumps(found)


def test_errors_do_not_matter() -> None:
    """A book with errors can be compared, also one that is no YAML."""
    assert changed("rules: [", RULES) == [("removed", "rule", "noted", ()), ("removed", "rule", "dropped", ())]
    assert changed("rules:\n  - name: new\n    when: 5\n    then: 6\n", "vars: {a: 1}\n") == [
        ("removed", "var", "a", ()),
        ("added", "rule", "new", ()),
    ]


def test_mode() -> None:
    """A rule that is only observed, or no longer, says so; to write the usual mode is no change of what it does."""
    rules = "rules:\n  - name: a\n    MODEwhen:\n      type: x\n    then: nothing\n"
    plain, observed, written = (
        {"10.yaml": rules.replace("MODE", mode)} for mode in ("", "mode: observe\n    ", "mode: enforce\n    ")
    )
    said = [[change.lines for change in difference.compare(*pair)] for pair in ((plain, observed), (observed, plain))]
    assert said == [[("is only observed now, and sends nothing",)], [("is no longer only observed",)]]
    assert [change.lines for change in difference.compare(plain, written)] == [()]
