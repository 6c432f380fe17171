import re
from datetime import datetime
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest

import console
from console import book as books
from console import people
from console.errors import UserError
from console.jobs.orders import JobVerb
from console.web import page, rules, words
from console.web.act_catalogue import ACTS
from console.web.piles import CHOOSABLE
from mailroom import ledger
from mailroom.sentences import say
from rules.tools import preview

BERLIN = ZoneInfo("Europe/Berlin")


def render(source: str, chosen: str, **values: Any) -> str:
    template = '{% import "macros.html" as m with context %}' + source
    return page.environment(chosen, "").from_string(template).render(language=chosen, zone=BERLIN, **values)


@pytest.mark.parametrize(
    ("chosen", "said"), [("de", "1. Dez. 2020 00:00"), ("fr", "1 déc. 2020 00:00"), ("en", "1 Dec 2020 00:00")]
)
def test_a_day_is_written_as_the_language_writes_it(chosen: str, said: str) -> None:
    """A German day has its point; the time is that of who looks."""
    assert page.say_moment(datetime.fromisoformat("2020-11-30T23:00:00Z"), BERLIN, chosen) == said


@pytest.mark.parametrize(("chosen", "said"), [("de", "9. Jan. 2020"), ("fr", "9 janv. 2020"), ("en", "9 Jan 2020")])
def test_a_date_alone_is_written_as_the_language_writes_it(chosen: str, said: str) -> None:
    """Of a time only its day is taken, and in no zone."""
    assert render("{{ '2020-01-09'|day }}", chosen) == said
    assert render("{{ '2020-01-09T23:30:00Z'|day }}", chosen) == said


def test_a_time_within_a_sentence_is_of_who_looks() -> None:
    """Neither UTC nor a form for programs stands in a sentence, in English either; other texts stay as they are."""
    room = {"room": "crm", "until": "2020-11-30T23:00:00.000Z"}
    assert render("{{ told|tell }}", "de", told=say("room_rests", **room)).endswith("1. Dez. 2020 00:00")
    assert render("{{ told|tell }}", "en", told=say("room_rests", **room)).endswith("until 1 Dec 2020 00:00")
    assert render("{{ told|tell }}", "de", told="2020-11-30T23:00:00Z") == "2020-11-30T23:00:00Z"


def test_quotation_marks_and_colons_are_those_of_the_language() -> None:
    """What somebody wrote stands in the marks of the reader's language, and is escaped."""
    assert render("{{ m.quote(text) }}", "de", text="<b>") == "„&lt;b&gt;“"
    assert render("{{ m.quote(text) }}", "fr", text="a") == "«\N{NO-BREAK SPACE}a\N{NO-BREAK SPACE}»"
    assert render("{{ m.choice('rule', '<b>') }}", "de") == "Regel: &lt;b&gt;"
    assert render("{{ m.choice('rule', 'a') }}", "fr") == "règle\N{NO-BREAK SPACE}: a"


def test_what_does_not_fit_begins_in_the_language_and_says_its_field_once() -> None:
    """The place stands as the code beside it; what is wrong there is said after words that are translated."""
    told = render("{{ m.because('names nobody', 'names nobody: one of id is needed') }}", "de")
    assert " ".join(re.sub("<.*?>", "", told).split()) == "passt nicht: one of id is needed"


def test_a_pasted_text_that_cannot_be_read_is_told_in_the_language() -> None:
    """What is wrong with it begins with words of the reader."""
    book = books.load(Path(console.__file__).parents[1] / "rules" / "book")
    with pytest.raises(UserError) as refused:
        rules.explain_text(book, "{broken", "cmx")
    assert render("{{ told|tell }}", "de", told=refused.value.message).startswith("der Inhalt ist kein gültiges JSON")


def test_every_word_of_an_act_an_attempt_and_a_choice_is_said() -> None:
    """What people and attempts did, and what can be chosen by, has words that can be translated."""
    verbs = set(get_args(JobVerb))
    written = r'(?:write_audit\(request|audit\.write\([\w.]+|_audit\.write\(.*), "(\w+)"'
    for file in Path(console.__file__).parent.rglob("*.py"):
        verbs |= set(re.findall(written, file.read_text()))
    verbs |= {f"{verb}_case" for verb in ("know", "mute", "unmute", "solve")}
    verbs |= {f"{verb}_job" for verb in ("pause", "resume", "stop", "undo")}
    assert verbs - words.DEEDS.keys() - ACTS.keys() == set()
    assert ledger.DECISIONS - words.DEEDS.keys() == set()
    assert set(get_args(ledger.Outcome)) == words.ATTEMPTS.keys()
    assert {reading.read_as for reading in people.read("a:b:c@example.org")} <= words.READINGS.keys()
    assert {*get_args(preview.Change), "undecided"} == words.CHANGES.keys()
    assert set(CHOOSABLE) - words.CHOICES.keys() == set()
