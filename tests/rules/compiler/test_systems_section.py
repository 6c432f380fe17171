"""What the check says of `business_hours:`, and of rules that hold until then."""

import dataclasses

import pytest

from rules.compiler import compilation
from rules.source.problem import Problem
from tests.rules import writing
from tests.rules.catalogue import CATALOGUE

HOURS = """
business_hours:
  days: mon-fri
  hours: 08:00-18:00
  zone: Europe/Berlin
  free: [2026-12-25]
"""
HELD = """
rules:
  - name: held
    when:
      type: contact.unsubscribed
    hold: until business hours
    then:
      - crm.add_note:
          email: "{{ data.email }}"
          text: Has gone.
"""


def told(*texts: str) -> list[str]:
    """Return what is wrong, without the place of the file."""
    return [_say(problem) for problem in writing.checked(*texts).problems]


def _say(problem: Problem) -> str:
    return f"{problem.line}:{problem.column} {problem.text}; {problem.mend}"


def test_business_hours() -> None:
    """The rule has the hours of the book, whichever file says them."""
    book = writing.book(HELD, HOURS)
    assert book.business_hours is not None
    assert book.rules[0].options.hold == book.business_hours
    assert str(book.business_hours) == "mon-fri 08:00-18:00 Europe/Berlin"
    several = writing.book(HOURS.replace("mon-fri", "[mon, wed]").replace("08:00-18:00", "08:00 - 24:00"))
    assert several.business_hours is not None
    assert (sorted(several.business_hours.days), several.business_hours.end) == ([0, 2], 1440)


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("mon-fri", "mon-fry", '3:9 there is no day "fry"; days are mon, tue, wed, thu, fri, sat, sun'),
        (
            "08:00-18:00",
            "18:00-08:00",
            "4:10 hours must end after they begin, on the same day; write 08:00-18:00, or 00:00-24:00",
        ),
        (
            "08:00-18:00",
            "08:00\u201318:00",
            "4:10 hours must be two times of the day with a plain - between them; write 08:00-18:00",
        ),
        (
            "08:00-18:00",
            "8-18",
            "4:10 hours must be two times of the day with a plain - between them; write 08:00-18:00",
        ),
        ("Europe/Berlin", "Europe/Berlni", '5:9 there is no zone "Europe/Berlni"; did you mean "Europe/Berlin"?'),
        ("2026-12-25", "2026-02-30", "6:10 a free day must be a date that there is; write 2026-12-25"),
        ("2026-12-25", "25.12.2026", "6:10 a free day must be a date that there is; write 2026-12-25"),
        ("[2026-12-25]", "2026-12-25", "6:9 free must be a list, not text; start each entry with a dash"),
        ("  days: mon-fri\n", "", "2:1 business_hours has no days; write days: mon-fri"),
        ("free:", "holidays:", '6:3 "holidays" is unknown here; did you mean "days"?'),
    ],
)
def test_wrong_business_hours(right: str, wrong: str, says: str) -> None:
    """Each mistake is named with its mend, once: rules that hold say nothing about it."""
    (problem,) = told(HELD, HOURS.replace(right, wrong))
    assert problem.startswith(says)


def test_alerts_without_business_hours() -> None:
    """Alerts that wait for business hours need them, too."""
    alerts = "alerts:\n  webhook: ${ALERT_URL}\n  hold: until business hours\n"
    (problem,) = told(alerts)
    assert problem.startswith("3:9 nothing says when business hours are; write business_hours:")
    assert writing.book(HELD, HOURS, alerts).alerts.hold == "until business hours"


MAIL = dataclasses.replace(CATALOGUE.destinations["maileon"], name="mail")
POST = "destinations:\n  post: {kind: mail, api_key: '${KEY}'}\n"


@pytest.mark.parametrize(
    ("mail", "says"),
    [
        ("{destination: pots, to: ops@example.org}", '2:23 "pots" is no destination; did you mean "post"?'),
        (
            "{destination: crm, to: ops@example.org}",
            '2:23 "crm" sends no mail; name a destination of kind: mail',
        ),
        ("{destination: post, to: nobody}", "2:33 to"),
        ("{destination: post, to: jürgen@example.org}", "2:33 to must be an address whose part before"),
        ("{destination: post}", "2:3 to is missing; "),
        ("ops@example.org", "2:9 "),
    ],
)
def test_wrong_mail_of_alerts(mail: str, says: str) -> None:
    """Alerts go by mail through a destination that sends mails, to an address."""
    systems = compilation.compile_book(
        {
            "a.yaml": (writing.SYSTEMS.replace("destinations:\n", POST)).encode(),
            "b.yaml": f"alerts:\n  mail: {mail}\n".encode(),
        },
        dataclasses.replace(CATALOGUE, destinations={**CATALOGUE.destinations, "mail": MAIL}),
    )
    (problem,) = systems.problems
    assert _say(problem).startswith(says)


def test_no_business_hours() -> None:
    """A rule that holds needs them."""
    assert told(HELD) == [
        "6:11 nothing says when business hours are; "
        "write business_hours: with days:, hours: and zone: at the top of a book file"
    ]
