"""The catalogue of sentences: complete, used, and shown in other languages."""

import ast
import json
import string
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic_core import to_json

from console.web import language
from mailroom import ledger
from mailroom.sentences import REASONS, SENTENCES, TOO_OFTEN, Sentence, find_reason, give_reason, say, spell_out, write
from rules.matching.truth import MissCode, Why
from tests import error_codes
from workers.outcome import IDLE

ROOT = Path(__file__).parents[2]
CODES = [row.split("`")[1] for row in error_codes.failures()]


def places(template: str | tuple[str, str]) -> set[str]:
    """Return what is filled in."""
    texts = (template,) if isinstance(template, str) else template
    return {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name}


def calls() -> Iterator[tuple[str, ast.Call, list[str]]]:
    """Yield each call that says a sentence: where, the call, and the codes that it may say."""
    for folder in ("rules", "mailroom", "workers", "receiver", "console"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            text = file.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(text)):
                if not isinstance(node, ast.Call):
                    continue
                of_check = ast.unparse(node.func) == "HealthCheck.of"
                own = "from mailroom.sentences import" in text
                if of_check or (own and ast.unparse(node.func) in ("say", "StoreRefused")):
                    code = node.args[2 if of_check else 0]
                    words = [one.value for one in ast.walk(code) if isinstance(one, ast.Constant)]
                    yield (
                        f"{file}:{node.lineno}",
                        node,
                        [word for word in words if isinstance(word, str) and word[:1].isalpha()],
                    )


def test_every_sentence_is_there_and_used() -> None:
    """What the code says is in the catalogue, with what is filled in there; and the catalogue has nothing else."""
    said: set[str] = set()
    for where, call, codes in calls():
        given = {each.arg for each in call.keywords if each.arg}
        spread = any(each.arg is None for each in call.keywords)
        for code in codes if len(codes) < 2 else [word for word in codes if word in SENTENCES]:
            assert code in SENTENCES, where
            mend = places(SENTENCES.get(f"{code}.mend", ""))
            assert spread or len(codes) > 1 or given == places(SENTENCES[code]) | mend, where
            said |= {code, f"{code}.mend"}
    assert len(said) > 150
    assert sorted(set(SENTENCES) - said) == []


def test_no_check_is_said_in_a_sentence_of_its_own() -> None:
    """Whatever `/readyz` and `relais doctor` say has a code."""
    for folder in ("console", "mailroom", "receiver", "workers"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "HealthCheck":
                    assert isinstance(node.args[2], ast.Name | ast.Attribute), f"{file}:{node.lineno}"


@pytest.mark.parametrize("code", CODES)
def test_every_failure_is_said(code: str) -> None:
    """Each code of a failed delivery has its sentence, also as the last of many attempts."""
    assert find_reason(code)
    assert find_reason(code + TOO_OFTEN) == find_reason(code)


def test_every_miss_is_said() -> None:
    """Each reason why a rule does not match has its sentence, and none has one that nobody gives."""
    assert {code.removeprefix("missed.") for code in REASONS if code.startswith("missed.")} == set(get_args(MissCode))


@pytest.mark.parametrize("code", [row.split("`")[1] for row in error_codes.refusals()])
def test_every_refusal_is_said(code: str) -> None:
    """Each code of a refused request has its sentence."""
    assert REASONS[f"refused.{code}"]


def test_what_is_done_without_writing_is_said() -> None:
    """A delivery that is done and wrote nothing says so in words, on every page."""
    assert {f"done.{note}" for note in IDLE} - REASONS.keys() == set()


def test_reasons_are_of_something() -> None:
    """A sentence whose code nobody says any more goes."""
    texts = "".join(file.read_text(encoding="utf-8") for folder in ("rules", "workers", "receiver", "mailroom")
                    for file in (*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.lua"))
                    if file.name != "sentences.py")  # fmt: skip
    assert [code for code in REASONS if f'"{code.rpartition(".")[2]}"' not in texts] == []
    assert set(REASONS) & set(SENTENCES) == set()


def test_is_text() -> None:
    """A sentence is text for whoever does not look closer, and JSON has its code and arguments beside it."""
    paused = say("room_paused", room="crm", why=say("refuses_key"))
    assert paused == "crm refuses our key"
    assert json.loads(to_json({"why": paused})) == {"why": "crm refuses our key"}
    told = spell_out({"rooms": [{"why": paused, "name": "crm"}], "says": "plain"})
    args = {"room": "crm", "why": {"says": "refuses our key", "code": "refuses_key", "args": {}}}
    assert told == {
        "rooms": [{"code": "room_paused", "args": args, "why": "crm refuses our key", "name": "crm"}],
        "says": "plain",
    }
    assert say("boxes", n=1) == "1 box"
    assert say("boxes", n=3) == "3 boxes"


def test_other_languages() -> None:
    """A sentence is written anew in another language, with those that are filled in; what it does not know stays."""
    german = language.translations("de")

    def tell(text: str) -> str:
        return str(write(text, german.gettext, german.ngettext))

    assert (
        tell(say("held_boxes", boxes=say("boxes", n=2), since="3 h"))
        == "2 Stapel angehalten, bis jemand entscheidet, der erste seit 3 h"
    )
    assert tell(give_reason("timeout_too_often")) == "das Ziel hat nicht rechtzeitig geantwortet"
    assert (
        tell(give_reason("no_consent", "data.newsletter is false"))
        == "die Einwilligung fehlt (data.newsletter is false)"
    )
    assert tell(give_reason("paused", "a code of the book")) == "paused: a code of the book"
    assert tell(Why.of("absent", "absent at data.email")) == "das Feld fehlt (absent at data.email)"
    assert tell("plain") == "plain"


def test_values_with_braces() -> None:
    """What is filled in is not read as a place to fill in."""
    assert say("room_unusable", room="crm", why="{n} {0} {") == "crm cannot be served: {n} {0} {"


def test_fate() -> None:
    """The ledger tells why as a sentence with its code; a code of a failure as itself."""
    lines = [
        ledger.routed(source="shop", type="order.paid", received=ledger.now(), book="b", fired=["r"],
                      made=[("e.0", "crm", "add_note", "r")], skipped=[("crm", "x", "r", "no_consent", "it is false")]),
        ledger.attempt("e.0", n=12, outcome="transient", code="timeout", status=0, ms=1, then="dead"),
    ]  # fmt: skip
    skipped, dead = ledger.tell("e", [lines[0]]).deliveries[1], ledger.tell("e", lines).deliveries[0]
    assert isinstance(skipped.why, Sentence)
    told = ledger.tell("e", lines).as_json()["deliveries"]
    assert (dead.why, told[0]["code"], told[0]["args"]) == ("timeout", "timeout", {})
    assert (told[1]["why"], told[1]["code"]) == ("no_consent: it is false", "no_consent")
    assert told[1]["args"] == {"why": "it is false"}
