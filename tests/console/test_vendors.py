"""A new vendor is one file: two that this test invents are found everywhere, and no other file knows of them."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from console import catalogue, cli
from console.processes import port
from receiver import sources
from tests import reference
from tests.conftest import PrivateValkey
from tests.console.conftest import Start
from workers import destinations

#: A telephone system whose event stands in the URL only.
SOURCE = '''
"""Ringo: calls."""

from receiver import body as bodies
from receiver import errors, identity
from receiver.sources import base
from receiver.sources.base import Batch, NoSourceOptions, SourceItem, SourceType
from rules.catalogue import SourceKind

EVENTS = {"missed": "call.missed", "ended": "call.completed"}


class Ringo(SourceType):
    kind = SourceKind(
        name="ringo",
        about="Ringo: calls that were missed or ended.",
        options=NoSourceOptions,
        types=frozenset(EVENTS.values()),
        event_from_url=lambda options: True,
    )

    def unpack(self, request, options, event):
        type = EVENTS.get(event or "")
        if type is None:
            raise errors.NotFound("unknown_event", "the URL must end with missed or ended")
        return Batch([self._item(at, each, type) for at, each in enumerate(bodies.records(request))])

    def _item(self, position, record, type):
        caller = identity.phone(record.fields["caller"])
        return SourceItem(position, record.body, type, order_key=caller, identities=(caller,))

    def read(self, type, body):
        return base.read_data(type, base.parse_object(body), "snake_case")


SOURCE = Ringo()
'''

#: A system that takes down who called.
DESTINATION = '''
"""Notepad: who called."""

from rules.catalogue import ActionKind, DestinationKind
from workers.destinations.base import ActionArguments, Client, DestinationOptions, DestinationType, list_names
from workers.outcome import Done


class NotepadOptions(DestinationOptions):
    """What ops may write under a destination of kind `notepad`."""

    page: int = 1


class Jot(ActionArguments):
    """Take a number down."""

    phone: str


class Notepad(Client[NotepadOptions]):
    async def _jot(self, visit, arguments):
        return Done()

    methods = {"jot": _jot}


JOT = ActionKind(
    name="jot",
    about="Take a number down.",
    arguments=Jot,
    touches=lambda arguments: list_names(("phone", arguments.phone)),
    touches_about="phone",
    once_by=None,
    once_by_about="delivery",
)

DESTINATION = DestinationType(
    DestinationKind(name="notepad", about="A notepad.", options=NotepadOptions, actions={"jot": JOT}), Notepad
)
'''

BOOK = """\
sources:
  phones:
    kind: ringo
    verify:
      header:
        name: X-Ringo-Token
        value: ${RINGO_TOKEN}
destinations:
  desk:
    kind: notepad
    page: 7
rules:
  - name: missed calls
    when:
      type: call.missed
    then:
      - desk.jot:
          phone: "{{ data.caller }}"
"""

ENVIRON = {"RINGO_TOKEN": "ringo-token"}


@pytest.fixture
def vendors(short_folder: Path) -> Iterator[Path]:
    """A folder with the two files, a book that uses them and a recorded body."""
    folder = short_folder / "vendors"
    for name, text in (("sources/ringo.py", SOURCE), ("destinations/notepad.py", DESTINATION), ("book/b.yaml", BOOK)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
    body = folder / "recorded" / "ringo" / "missed.plain.json"
    body.parent.mkdir(parents=True)
    body.write_text(json.dumps({"caller": "+491701234567", "duration": 0}))
    yield folder
    for name in ("ringo", "notepad", "other"):
        sys.modules.pop(f"receiver.sources.{name}", None)
        sys.modules.pop(f"workers.destinations.{name}", None)


@pytest.fixture
def found(vendors: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder; this process has found the two files."""
    monkeypatch.setattr(sources, "SOURCES", sources.find(str(vendors / "sources")))
    monkeypatch.setattr(destinations, "DESTINATIONS", destinations.find(str(vendors / "destinations")))
    monkeypatch.setenv("RELAIS_BOOK", str(vendors / "book"))
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    return vendors


def relais(*arguments: str) -> Result:
    """Run a command, which must succeed."""
    outcome = CliRunner().invoke(cli.relais, arguments, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome


def test_unknown_without_the_files(vendors: Path) -> None:
    """Without the two files the book is wrong: nothing of ours knows their names."""
    outcome = CliRunner().invoke(cli.relais, ["rules", "check", str(vendors / "book")])
    assert outcome.exit_code == 1
    assert "ringo" in outcome.output
    assert "notepad" in outcome.output


def test_rules_check(found: Path) -> None:
    """A book with both kinds is right, and one with an unknown option of theirs is not."""
    assert "The book is right: " in relais("rules", "check").output
    wrong = BOOK.replace("page: 7", "pages: 7")
    (found / "book" / "b.yaml").write_text(wrong)
    outcome = CliRunner().invoke(cli.relais, ["rules", "check"])
    assert outcome.exit_code == 1
    assert '(did you mean "page"?)' in outcome.output


def test_rules_actions(found: Path) -> None:
    """Its actions are listed, by destination and by kind."""
    assert "desk.jot  Take a number down." in relais("rules", "actions").output
    assert "notepad.jot  Take a number down." in relais("rules", "actions", "notepad").output


def test_rules_schema(found: Path) -> None:
    """The schema for editors knows both kinds, the option and the action."""
    text = relais("rules", "schema").output
    schema = json.dumps(json.loads(text))
    assert all(f'"{word}"' in schema for word in ("ringo", "notepad", "page", "desk.jot"))


def test_rules_explain(found: Path) -> None:
    """A recorded body is explained; the event comes from the file's name, since only the URL tells it."""
    file = found / "recorded" / "ringo" / "missed.plain.json"
    told = json.loads(relais("rules", "explain", str(file), "--json").output)
    assert len(told) == 1
    assert "desk.jot" in json.dumps(told)
    file.rename(file.with_name("ended.plain.json"))
    assert "No rule matches" in relais("rules", "explain", str(file.with_name("ended.plain.json"))).output


def test_replay(found: Path, start: Start, valkey: PrivateValkey) -> None:
    """A recorded body is posted to the address that tells the event, and a receiver with the two files takes it."""
    number = port.free("127.0.0.1")
    environ: Mapping[str, str] = {**ENVIRON, "VENDORS": str(found), "RELAIS_BOOK": str(found / "book")}
    address = f"http://127.0.0.1:{number}"
    process = start(
        "receive", "--port", str(number), module="tests.console.with_vendors", REDIS_URL=valkey.url, **environ
    )
    process.wait_healthy(address)
    said = json.loads(relais("replay", str(found / "recorded"), "--to", address, "--json").output)
    assert (said["sent"], said["accepted"], said["refused"]) == (1, 1, {})
    assert [(one["source"], one["status"], len(one["events"])) for one in said["requests"]] == [("phones", 202, 1)]


def test_reference(found: Path) -> None:
    """The generated reference has a row for each of them."""
    everything = catalogue.build()
    assert "| `ringo` | Ringo: calls that were missed or ended. |" in reference.sources_table(everything)
    assert "| `notepad` | A notepad. | `jot` |" in reference.destinations_table(everything)


def test_two_of_one_kind(vendors: Path) -> None:
    """Two files that declare one kind are an error, be the files named as they may."""
    for place, name, text in (("sources", "ringo", SOURCE), ("destinations", "notepad", DESTINATION)):
        (vendors / place / "other.py").write_text(text)
        finder = sources.find if place == "sources" else destinations.find
        with pytest.raises(ImportError, match=f"declare the kind {name}"):
            finder(str(vendors / place))


def test_an_action_without_a_method(vendors: Path) -> None:
    """A destination whose client lacks an action of its kind, or has one more, cannot be imported."""
    (vendors / "destinations" / "notepad.py").write_text(DESTINATION.replace('{"jot": _jot}', '{"jott": _jot}'))
    with pytest.raises(TypeError, match="must have the actions of the kind notepad"):
        destinations.find(str(vendors / "destinations"))
