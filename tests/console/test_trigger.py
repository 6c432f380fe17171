"""Invented webhooks: every recorded type of every source can be sent again, of others, and saying something else."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from console import book as books
from console import cli, trigger
from console.errors import UserError
from console.trigger import RecordedBody, RecordedEvent
from rules.event import Event
from rules.rulebook import Rulebook, Source
from tests.console.conftest import SECRETS


@pytest.fixture(scope="module")
def recorded() -> Rulebook:
    """The book of the recorded bodies: a source for each folder."""
    return books.load(trigger.find_folder() / "book")


def events(example: RecordedEvent, bodies: list[bytes]) -> list[Event]:
    """Return the event that the source reads in each body."""
    found = [example.read(RecordedBody.read(body)) for body in bodies]
    assert None not in found
    return [event for event in found if event is not None]


def list_types(source: Source) -> set[str]:
    """Return the types of which a body of this source was recorded that holds a single event."""
    files = (
        file for file in (trigger.find_folder() / source.kind).rglob("*") if file.suffix in (".json", ".form", ".query")
    )
    return {one.event.type for file in files if (one := trigger._read_example(source, file))}


def test_each_type(recorded: Rulebook) -> None:
    """Of every type of every source four webhooks make four events."""
    seen = 0
    for source in recorded.sources.values():
        for type in list_types(source):
            example, bodies = trigger.make_up(trigger.list_examples(source, type), {}, count=4)
            made = events(example, bodies)
            assert {event.type for event in made} == {type}
            assert len({event.id for event in made}) == 4, (source.name, type)
            seen += 1
    assert seen > 40


@pytest.mark.parametrize(
    ("source", "type"),
    [
        ("cmxorganize", "newsletter.signup"),
        ("activetrail", "contact.updated"),
        ("seminardesk", "profile.updated"),
        ("maileon", "contact.opted_in"),
        ("generic", "newsletter.signup"),
    ],
)
def test_people(recorded: Rulebook, source: str, type: str) -> None:
    """Three people in turn: the same order key for the same person, an address of example.org, a name."""
    examples = trigger.list_examples(recorded.sources[source], type)
    made = events(*trigger.make_up(examples, {}, count=6, people=3))
    keys = [event.order_key for event in made]
    assert (len(set(keys[:3])), keys[:3]) == (3, keys[3:])
    assert len({event.id for event in made}) == 6
    addresses = {event.data["email"] for event in made}
    assert len(addresses) == 3
    assert all(address.endswith("@example.org") for address in addresses)


def test_fields(recorded: Rulebook) -> None:
    """A field is set by its name in the event, wherever the vendor has it: JSON, a query, a list within."""
    for source, type, name, value in (
        ("cmxorganize", "newsletter.signup", "email", "ada@example.org"),
        ("maileon", "contact.opted_in", "email", "ada+x@example.org"),
        ("seminardesk", "profile.updated", "first_name", "Ada"),
        ("seminardesk", "booking.created", "guests.0.items.0.text", "Zimmer mit Aussicht"),
    ):
        examples = trigger.list_examples(recorded.sources[source], type)
        (event,) = events(*trigger.make_up(examples, {name: value}))
        assert trigger.flatten(event.data)[name] == value


def test_own_body(recorded: Rulebook, tmp_path: Path) -> None:
    """A body of one's own, and a value of the vendor's body by its place there, also a new one."""
    file = tmp_path / "order.json"
    file.write_text(json.dumps({"id": 5, "event": "order.paid", "lines": [{"price": 3}]}))
    source = recorded.sources["generic"]
    examples = trigger.list_examples(source, "order.paid", file)
    fields = {"body.lines.0.price": "4.5", "body.customer.city": "Ulm", "body.event": "order.paid"}
    (event,) = events(*trigger.make_up(examples, fields))
    assert (event.raw["lines"], event.raw["customer"]) == ([{"price": 4.5}], {"city": "Ulm"})
    with pytest.raises(UserError, match=r"has a place for 'body\.lines\.first\.price'"):
        trigger.make_up(examples, {"body.lines.first.price": "1"})
    with pytest.raises(UserError, match=r"is no newsletter\.signup: it tells of order\.paid"):
        trigger.list_examples(source, "newsletter.signup", file)


def test_mistakes(recorded: Rulebook) -> None:
    """What cannot be sent is said with its mend."""
    cmx = recorded.sources["cmxorganize"]
    with pytest.raises(UserError, match=r"no recorded newsletter\.signap of cmxorganize") as unknown:
        trigger.list_examples(cmx, "newsletter.signap")
    assert unknown.value.mend == 'did you mean "newsletter.signup"?'
    examples = trigger.list_examples(cmx, "newsletter.signup")
    with pytest.raises(UserError, match="has a place for 'emial'") as misspelt:
        trigger.make_up(examples, {"emial": "x"})
    assert misspelt.value.mend == 'did you mean "email"?'
    bookings = trigger.list_examples(recorded.sources["seminardesk"], "booking.created")
    with pytest.raises(UserError, match="has a place for 'nonsense'") as deep:
        trigger.make_up(bookings, {"nonsense": "x"})
    assert deep.value.mend is not None
    assert "." not in deep.value.mend.partition(",")[0], "the plainest fields come first"


def test_fixtures_of_the_book_come_first(tmp_path: Path) -> None:
    """What is sent first has what the rules of the starter book ask for; a recorded body may lack it."""
    starter = Path(books.__file__).parents[1] / "rules" / "book"
    shop = books.load(starter).sources["shop"]
    [first, *_] = trigger.list_examples(shop, "order.paid", fixtures=starter / "fixtures")
    assert first.file == starter / "fixtures" / "generic" / "order.paid.json"
    assert trigger.list_examples(shop, "order.paid", fixtures=tmp_path)[0].file.is_relative_to(trigger.find_folder())
    named = tmp_path / "shop" / "mine.json"
    named.parent.mkdir()
    named.write_bytes(first.file.read_bytes())
    assert trigger.list_examples(shop, "order.paid", fixtures=tmp_path)[0].file == named


def test_examples_of_the_help_are_of_the_starter_book() -> None:
    """Each source and type that the help names can be sent with the book that everybody has."""
    starter = Path(books.__file__).parents[1] / "rules" / "book"
    book = books.load(starter)
    told = CliRunner().invoke(cli.relais, ["trigger", "--help"], terminal_width=200).output
    examples = re.findall(r"relais trigger (\w+) ([\w.]+)", told)
    assert len(examples) > 3
    for source, type in examples:
        assert trigger.list_examples(book.sources[source], type, fixtures=starter / "fixtures"), (source, type)


def test_sent(receiver: str, book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sends what a receiver accepts, and prints it where that is asked for."""
    words = ["trigger", "cmx", "newsletter.signup", "--set", "email=ada@example.org", "--book", str(book)]
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    said = CliRunner().invoke(cli.relais, [*words, "--count", "3", "--people", "2", "--to", receiver, "--json"])
    report = json.loads(said.output)
    assert (report["sent"], report["accepted"], report["duplicates"]) == (3, 3, 0)
    shown = CliRunner().invoke(cli.relais, [*words, "--print"]).output
    assert "ada@example.org" in shown
    wrong = CliRunner().invoke(cli.relais, ["trigger", "cmz", "newsletter.signup", "--book", str(book)])
    assert 'did you mean "cmx"?' in str(
        wrong.exception.mend if isinstance(wrong.exception, UserError) else wrong.output
    )
    assert CliRunner().invoke(cli.relais, [*words, "--set", "email"]).exit_code == 2
