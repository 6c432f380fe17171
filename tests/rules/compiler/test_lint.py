import pytest

from rules.source.problem import Problem
from tests.rules import writing


def warnings(*rules: str, code: str) -> list[Problem]:
    checked = writing.checked("rules:\n" + "".join(rules))
    assert checked.errors == ()
    return [problem for problem in checked.warnings if problem.code == code]


def rule(name: str, when: str, *, more: str = "", action: str = "maileon_main.unsubscribe", of: str = "email") -> str:
    return f"""
  - name: {name}
    when: {{{when}}}
{more}
    then:
      - {action}:
          email: "{{{{ data.{of} }}}}"
"""


LEFT = "type: contact.unsubscribed"


def test_sent_twice() -> None:
    """Two rules that may both fire and send one effect for one object are doubtful."""
    (problem,) = warnings(rule("a", LEFT), rule("b", f"{LEFT}, data.reason: moved"), code="sent_twice")
    assert 'by the rule "a" too' in problem.text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LEFT, "type: contact.bounced"),
        (f"{LEFT}, source: at", f"{LEFT}, source: cmx"),
        (f"{LEFT}, data.reason: moved", f"{LEFT}, data.reason: bored"),
        (f"{LEFT}, data.num1: {{gt: 5}}", f"{LEFT}, data.num1: {{lte: 5}}"),
        (f"{LEFT}, data.reason: {{exists: false}}", f"{LEFT}, data.reason: moved"),
    ],
)
def test_sent_once(one: str, other: str) -> None:
    """Rules that exclude each other send it once."""
    assert warnings(rule("a", one), rule("b", other), code="sent_twice") == []


def test_not_the_same() -> None:
    """Another object, another action, an action that is an effect each time, or an earlier `stop` is no doubt."""
    assert warnings(rule("a", LEFT), rule("b", LEFT, of="ext1"), code="sent_twice") == []
    assert warnings(rule("a", LEFT), rule("b", LEFT, action="maileon_main.update"), code="sent_twice") == []
    assert warnings(rule("a", LEFT, more="    stop: true"), rule("b", LEFT), code="sent_twice") == []
    note = "\n          text: seen\n"
    notes = [rule(name, LEFT, action="crm.add_note").rstrip() + note for name in "ab"]
    assert warnings(*notes, code="sent_twice") == []


@pytest.mark.parametrize(
    ("first", "later", "shadowed"),
    [
        (LEFT, LEFT, True),
        (LEFT, f"{LEFT}, data.reason: moved", True),
        ("type: [contact.unsubscribed, contact.bounced]", LEFT, True),
        (f"{LEFT}, data.reason: [moved, bored]", f"{LEFT}, data.reason: moved", True),
        (f"{LEFT}, data.reason: {{exists: true}}", f"{LEFT}, data.reason: moved", True),
        (f"{LEFT}, data.reason: moved", LEFT, False),
        (f"{LEFT}, data.reason: moved", f"{LEFT}, data.reason: [moved, bored]", False),
        (f"{LEFT}, source: at", LEFT, False),
        ("type: contact.bounced", LEFT, False),
    ],
)
def test_shadowed(first: str, later: str, shadowed: bool) -> None:
    """A rule below one with `stop` that matches all its events never fires."""
    found = warnings(rule("a", first, more="    stop: true"), rule("b", later), code="shadowed")
    assert bool(found) is shadowed
    assert warnings(rule("a", first), rule("b", later), code="shadowed") == []
    held = rule("a", first, more="    stop: true\n    unless: {data.ext1: x}")
    assert warnings(held, rule("b", later), code="shadowed") == []


@pytest.mark.parametrize(
    ("when", "doubtful"),
    [
        (f"{LEFT}, data.num1: {{gt: 5, lt: 3}}", True),
        (f"{LEFT}, data.num1: {{gt: 3, lt: 5}}", False),
        ("source: cmx, type: contact.unsubscribed", True),
        ("source: [cmx, at], type: contact.unsubscribed", False),
        ("source: shop, type: contact.unsubscribed", False),
        ("type: call.missed", False),  # the generic source may send it
    ],
)
def test_never_matches(when: str, doubtful: bool) -> None:
    """A rule that contradicts itself, or whose sources do not send its types, can never match."""
    text = f"  - name: a\n    when: {{{when}}}\n    then:\n      - crm.add_note: {{email: eva@example.org, text: x}}\n"
    assert bool(warnings(text, code="never_matches")) is doubtful


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("limit: 5/s", "limit: 10/s", ["limit"]),
        ("limit: 5/s, quota: 5000/day", "limit: 4/s, quota: 100/day", ["limit", "quota"]),
        ("quota: 5000/day", "quota: 5000/day", []),
        ("quota: 5000/day", "limit: 5/s", []),
        ('auth: {bearer: "${OTHER}"}, limit: 5/s', "limit: 10/s", []),
    ],
)
def test_shared_key(one: str, other: str, words: list[str]) -> None:
    """Destinations with one key that say another rate or quota each are warned of: the lower one counts for both."""
    auth = "" if "auth" in one else 'auth: {bearer: "${TOKEN}"}, '
    checked = writing.checked(
        f"""
        destinations:
          notes: {{kind: rest, base: "https://crm.example.org", {auth}{one}}}
          mails: {{kind: rest, base: "https://crm.example.org", auth: {{bearer: "${{TOKEN}}"}}, {other}}}
        """
    )
    found = [problem.text for problem in checked.warnings if problem.code == "shared_key"]
    assert found == [f"mails and notes have one key and two {word}s: the lower one counts" for word in words]


def test_secret_in_clear() -> None:
    """A secret in clear is warned of wherever it stands, without being shown."""
    checked = writing.checked(
        """
        sources:
          at2:
            kind: activetrail
            verify:
              header: {name: X-Token, value: ["${NEW}", 0a1b2c]}
        destinations:
          crm2:
            kind: rest
            base: https://crm.example.org
            auth: {bearer: 3d4e5f}
        alerts:
          webhook: https://example.org/6a7b8c
        """
    )
    found = [problem for problem in checked.warnings if problem.code == "secret_in_clear"]
    assert [(problem.line, problem.text.split()[2]) for problem in found] == [
        (6, "header.value"),
        (11, "auth.bearer"),
        (13, "webhook"),
    ]
    for secret in ("0a1b2c", "3d4e5f", "6a7b8c"):
        assert secret not in "\n".join(map(str, checked.problems))


TWIN = """
destinations:
  maileon_events:
    kind: maileon
    api_key: ${MAILEON_EVENTS_KEY}
"""


def forgotten(*rules: str) -> list[Problem]:
    checked = writing.checked(TWIN + "rules:\n" + "".join(rules))
    assert checked.errors == ()
    return [problem for problem in checked.warnings if problem.code == "forgotten_destination"]


def test_forgotten() -> None:
    """Who unsubscribes at one of two accounts that people are sent to stays in the other: a doubt."""
    into = rule("into", "type: contact.changed", action="maileon_events.update")
    (problem,) = forgotten(into, rule("out", LEFT))
    assert problem.text == "maileon_main.unsubscribe leaves the person in maileon_events"
    assert problem.mend.startswith("write maileon_events.unsubscribe beside it, or a rule of its own")
    (both,) = forgotten(
        into,
        rule("in too", "type: contact.changed", action="crm.add_note").rstrip() + "\n          text: x\n",
        rule("out", LEFT),
    )
    assert both.text == problem.text


def test_not_forgotten() -> None:
    """A rule beside it, an account that nobody is sent to, or one of another kind is no doubt."""
    into = rule("into", "type: contact.changed", action="maileon_events.update")
    assert forgotten(into, rule("out", LEFT), rule("out too", LEFT, action="maileon_events.unsubscribe")) == []
    assert forgotten(rule("out", LEFT)) == []
    assert forgotten(rule("into", "type: contact.changed", action="maileon_main.update"), rule("out", LEFT)) == []
    elsewhere = rule("out elsewhere", "type: contact.bounced", action="maileon_events.unsubscribe")
    assert [problem.text.split(" ")[0] for problem in forgotten(into, rule("out", LEFT), elsewhere)] == [
        "maileon_main.unsubscribe"
    ]


def test_observed() -> None:
    """What is only observed ends nothing, is not sent twice, and lets nobody go."""
    observe = "    mode: observe\n    stop: true"
    assert warnings(rule("a", LEFT, more=observe), rule("b", LEFT), code="shadowed") == []
    assert warnings(rule("a", LEFT, more=observe), rule("b", LEFT), code="sent_twice") == []
    assert warnings(rule("a", LEFT), rule("b", LEFT, more="    mode: observe"), code="sent_twice") == []
