import asyncio
import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from console import catalogue, cli, starter_book, stored_events
from console.processes import port
from mailroom import Mailroom
from rules.event import Event
from tests.conftest import PrivateValkey
from tests.console.conftest import Start

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "console" / "demo" / "fixtures"

Relais = Callable[..., Result]

GUARDED = """
rules:
  - name: guarded
    when:
      source: at
      type: contact.changed
    not_older_than: contact.unsubscribed
    then:
      - crm.add_note:
          email: "{{ data.email }}"
          text: Has changed.
"""

BOOK_WITH_A_WRONG_PLACE = """
sources:
  shop: {kind: generic, verify: {none: only for this test}, read: {id: body.uuid, type: body.event}}
tests:
  - name: paid
    given: {source: shop, body: {id: 1, event: order.paid}}
    expect: {}
"""


@pytest.fixture
def relais(monkeypatch: pytest.MonkeyPatch) -> Relais:
    """Run a command on the starter book."""
    monkeypatch.setenv("RELAIS_BOOK", str(starter_book.starter()))

    def run(*arguments: str | Path, typed: str = "") -> Result:
        words = ["rules", *(str(each) for each in arguments)]
        return CliRunner().invoke(cli.relais, words, input=typed, catch_exceptions=False)

    return run


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A book with an error and what goes with it."""
    folder = tmp_path / "wrong"
    starter_book.copy(folder)
    (folder / "wrong.yaml").write_text(
        "rules:\n"
        "  - name: wrong\n"
        "    when:\n"
        "      type: newsletter.signup\n"
        "    then:\n"
        "      - crm.upsert_contct:\n"
        '          email: "{{ data.email }}"\n'
    )
    return folder


def test_check(relais: Relais, wrong: Path) -> None:
    """A book that is right is said to be so; an error has file, line, column and the mend, and status 1."""
    right, bad = relais("check"), relais("check", wrong)
    assert (right.exit_code, bad.exit_code) == (0, 1)
    assert "The book is right: " in right.output
    line = next(line for line in bad.output.splitlines() if "wrong.yaml" in line)
    assert line.startswith(f"{wrong}/wrong.yaml:6:9: error: ")
    assert '(did you mean "crm.upsert_contact"?)' in line


def test_check_for_machines(relais: Relais, wrong: Path) -> None:
    """The same as JSON, as annotations for GitHub, and as SARIF."""
    as_json = json.loads(relais("check", wrong, "--json").output)
    assert as_json["valid"] is False
    assert [(p["file"], p["line"]) for p in as_json["problems"]] == [("wrong.yaml", 6)]
    assert relais("check", wrong, "--format", "github").output.startswith(f"::error file={wrong}/wrong.yaml,line=6")
    sarif = json.loads(relais("check", wrong, "--format", "sarif").output)
    assert sarif["runs"][0]["results"][0]["level"] == "error"


def test_check_one_file(relais: Relais, wrong: Path) -> None:
    """Of one file of a book only its own problems are said, though the whole book is read."""
    bad, other = relais("check", wrong / "wrong.yaml"), relais("check", wrong / "20-people.yaml")
    assert (bad.exit_code, f"{wrong}/wrong.yaml:6:9: error: " in bad.output) == (1, True)
    assert (other.exit_code, f"{wrong} has 1 error in other files" in other.output) == (1, True)
    assert relais("check", starter_book.starter() / "20-people.yaml").exit_code == 0
    assert relais("check", ROOT / "README.md").exit_code == 2
    defect = relais("check", ROOT / "tests" / "rules" / "defects" / "tab.yaml")
    message = (ROOT / "tests" / "rules" / "defects" / "tab.txt").read_text().partition(" ")[2].partition(";")[0]
    assert (defect.exit_code, message in defect.output) == (1, True)


def test_check_by_the_tests_of_the_book(relais: Relais, tmp_path: Path) -> None:
    """A place that finds nothing in any body of the book's tests is a warning."""
    (tmp_path / "book.yaml").write_text(BOOK_WITH_A_WRONG_PLACE, encoding="utf-8")
    found = relais("check", tmp_path)
    assert found.exit_code == 0
    assert "book.yaml:5:1: warning: read: id: body.uuid of the source shop finds nothing in any body" in found.output
    assert relais("check", tmp_path, "--strict").exit_code == 1


def test_test(relais: Relais, tmp_path: Path) -> None:
    """The tests of the starter book pass; one that fails shows the difference and ends with status 1."""
    passed = relais("test")
    assert (passed.exit_code, "FAILED" in passed.output) == (0, False)
    folder = tmp_path / "book"
    starter_book.copy(folder)
    file = folder / "10-newsletter.yaml"
    file.write_text(file.read_text().replace("TITLE: Dr.", "TITLE: Prof."))
    failed = relais("test", folder)
    assert failed.exit_code == 1
    assert "FAILED  a ticked sign-up starts the double opt-in, with tracking  (10-newsletter.yaml:" in failed.output
    lines = [line.strip() for line in failed.output.splitlines()]
    assert "-       TITLE: Prof." in lines
    assert "+       TITLE: Dr." in lines
    report = json.loads(relais("test", folder, "--json").output)
    assert [test["name"] for test in report["tests"] if not test["passed"]] == [
        "a ticked sign-up starts the double opt-in, with tracking"
    ]


def test_test_by_name(relais: Relais) -> None:
    """Only the named test runs; a name that no test has is refused."""
    assert "1 of 1 tests passed" in relais("test", "--name", "a free booking makes no invoice").output
    unknown = relais("test", "--name", "nonsense")
    assert (unknown.exit_code, "no test named 'nonsense'" in unknown.output) == (1, True)


def test_test_and_watch(start: Start, tmp_path: Path) -> None:
    """With --watch the tests run again whenever the book changes, also when it cannot be read in between."""
    folder = tmp_path / "book"
    starter_book.copy(folder)
    file = folder / "10-newsletter.yaml"
    right = file.read_text()
    process = start("rules", "test", str(folder), "--watch")
    process.wait_for("34 of 34 tests passed")
    file.write_text("rules: {")
    process.wait_for("error: the book at")
    file.write_text(right.replace("TITLE: Dr.", "TITLE: Prof."))
    process.wait_for("33 of 34 tests passed")
    assert process.stop(signal.SIGINT) == 0


def test_actions(relais: Relais) -> None:
    """For each action: what it needs, what it may have, what it writes, its consent."""
    told = relais("actions", "maileon").output
    for line in ("maileon.subscribe  ", "  required  email: ", "  once by   email", "  consent   newsletter, tracking"):
        assert line in told
    everything = json.loads(relais("actions", "--json").output)
    assert {name.partition(".")[0] for name in everything} == {
        "maileon_main",
        "crm",
        "invoicing",
        "tracking",
        "sd_nord_api",
    }
    assert everything["invoicing.create_invoice"]["required"].keys() == {"reference", "customer", "lines"}
    assert everything["invoicing.create_invoice"]["on_doubt"] == "found again"
    assert everything["crm.link"]["cannot"]
    assert relais("actions", "nonsense").exit_code == 2
    told = " ".join(relais("actions", "rest").output.split())
    assert "required lines: (each text*, quantity, unit_price*, tax_rate)" in told
    assert "required customer: (email*, name, address)" in told


@pytest.mark.parametrize("kind", catalogue.build().destinations)
def test_actions_fit_a_terminal(relais: Relais, kind: str) -> None:
    """Whatever a kind has to say of its actions stands in 80 columns."""
    assert [line for line in relais("actions", kind).output.splitlines() if len(line) > 80] == []


def test_who_can_what(relais: Relais) -> None:
    """A table of 80 columns says which destination can what, and what becomes of a delivery that is in doubt."""
    told = relais("actions").output.partition("An answer was lost")[0].splitlines()
    assert max(map(len, told)) <= 80
    assert sorted(told[0].split()) == ["crm", "invoicing", "maileon_main", "tracking"]
    assert "add_note held held" in {" ".join(line.split()) for line in told}


def test_explain(relais: Relais) -> None:
    """A vendor's body is explained: which rules match, and of the others the first condition that does not."""
    told = relais("explain", FIXTURES / "seminardesk" / "booking.create.free.json").output
    assert "booking.created from sd_nord" in told
    assert "No rule matches: the event would end as unmatched." in told
    at = told.splitlines().index(
        next(line for line in told.splitlines() if "confirmed booking becomes a customer" in line)
    )
    assert told.splitlines()[at + 1].strip().startswith("data.total: ")


def test_explain_with_look_up(relais: Relais) -> None:
    """With the answer to its look-up a rule's actions are filled."""
    file = FIXTURES / "seminardesk" / "booking.create.confirmed.json"
    without = relais("explain", file).output
    answer = 'booker={"email": "ada@example.org", "first_name": "Ada", "last_name": "Beispiel"}'
    filled = json.loads(relais("explain", file, "--look-up", answer, "--json").output)
    fired = next(rule for rule in filled[0]["rules"] if rule["matched"])
    assert "the actions are filled once booker has been looked up" in without
    actions = [action["action"] for action in fired["actions"]]
    assert actions[:2] == ["crm.upsert_contact", "invoicing.create_invoice"]
    assert actions[2:] == ["maileon_main.update", "tracking.confirm_sale"]
    assert relais("explain", file, "--look-up", "booker").exit_code == 2


def test_explain_an_event(relais: Relais, tmp_path: Path) -> None:
    """An event that somebody wrote down is explained as one that came in."""
    file = tmp_path / "event.json"
    file.write_text(json.dumps({"type": "contact.unsubscribed", "source": "at", "data": {"email": "luc@example.org"}}))
    assert "→ maileon_main.unsubscribe" in relais("explain", file).output
    file.write_text(json.dumps({"type": "contact.unsubscribed", "data": {"email": "luc@example.org"}}))
    refused = relais("explain", file)
    assert (refused.exit_code, "mend: say it: --source NAME" in refused.output) == (3, True)


def test_explain_what_is_stale(relais: Relais, tmp_path: Path) -> None:
    """With the time of what is newest of its person a rule says that the event is stale for it."""
    book = tmp_path / "book"
    starter_book.copy(book)
    (book / "90-changed.yaml").write_text(GUARDED)
    file = tmp_path / "event.json"
    changed = {
        "type": "contact.changed",
        "source": "at",
        "time": "2026-01-15T10:00:00Z",
        "data": {"email": "l@example.org"},
    }
    file.write_text(json.dumps(changed))
    newest = ("--newest", "contact.unsubscribed=2026-01-15T11:05:00+01:00")
    assert "sent unless contact.unsubscribed of the same person" in relais("explain", file, "--book", book).output
    told = relais("explain", file, "--book", book, *newest).output
    assert "skips crm.add_note: contact.unsubscribed of 2026-01-15T10:05:00.000Z is newer" in told
    assert relais("explain", file, "--book", book, "--newest", "contact.unsubscribed=soon").exit_code == 2


def test_explain_nonsense(relais: Relais, tmp_path: Path) -> None:
    """A body that no source sends so is refused with the code that the receiver would answer."""
    (tmp_path / "broken.json").write_text("{")
    refused = relais("explain", tmp_path / "broken.json", "--source", "cmx")
    assert (refused.exit_code, "bad_json" in refused.output) == (1, True)


def test_preview(relais: Relais, tmp_path: Path) -> None:
    """A new book that asks for something else shows what, by rule; the same book shows nothing."""
    folder = tmp_path / "new"
    starter_book.copy(folder)
    same = relais("preview", folder, FIXTURES)
    (folder / "20-people.yaml").unlink()
    other = relais("preview", folder, FIXTURES)
    assert (same.exit_code, other.exit_code) == (0, 1)
    assert (
        "- 4 crm.upsert_contact  (a changed contact is changed in the CRM and, if it is there, at Maileon)"
        in other.output
    )
    assert json.loads(relais("preview", folder, FIXTURES, "--json").output)["gone"] == 17


@pytest.fixture
def came_in(valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with the starter book in force; three contacts left at ActiveTrail, and one payload is erased by now."""
    monkeypatch.setenv("REDIS_URL", valkey.url)
    monkeypatch.delenv("RELAIS_CONSOLE_URL", raising=False)
    texts = {file.name: file.read_text() for file in starter_book.starter().glob("*.yaml")}

    async def fill() -> None:
        async with await Mailroom.open(valkey.url) as mailroom:
            await mailroom.keep_book("of-now", texts)
            await mailroom.put([left(name) for name in ("luc", "eva", "ada")])
            await mailroom.store.delete(mailroom.key("e:ada"))

    asyncio.run(fill())


def left(name: str) -> Event:
    return Event(
        id=name,
        source="at",
        kind="activetrail",
        type="contact.unsubscribed",
        received_at="2026-11-21T10:00:00.000Z",
        body=json.dumps({"email": f"{name}@example.org"}).encode(),
        order_key=f"email:{name}@example.org",
        sender_id=name,
    )


@pytest.mark.usefixtures("came_in")
def test_preview_of_what_came_in(relais: Relais, tmp_path: Path) -> None:
    """A new book meets the events of the last days, beside the book in force; so many payloads are gone."""
    folder = tmp_path / "new"
    starter_book.copy(folder)
    same = relais("preview", folder, "--since", "7d")
    assert (same.exit_code, "2 events: 4 deliveries the same, 0 added" in same.output) == (0, True)
    assert "of 1 more events the payload is erased" in same.output
    file = folder / "10-newsletter.yaml"
    file.write_text(file.read_text().replace("newsletter: false", "newsletter: false\n          tracking: false"))
    other = relais("preview", folder, "--since", "1h", "--json")
    told = json.loads(other.output)
    assert (other.exit_code, told["changed"], told["payloads"]) == (1, 2, {"gone": 1, "unreadable": 0})
    assert {sample["event"] for each in told["differences"] for sample in each["samples"]} == {"luc", "eva"}


def test_preview_shows_what_changes(relais: Relais, tmp_path: Path) -> None:
    """Of a changed delivery only what changes is shown; one that comes or goes is shown as a whole, if it is known."""
    folder = tmp_path / "new"
    starter_book.copy(folder)
    newsletter, bookings = folder / "10-newsletter.yaml", folder / "30-bookings.yaml"
    text = newsletter.read_text().replace('FIRSTNAME: "{{ data.first_name | omit }}"', "FIRSTNAME: You")
    newsletter.write_text(text.replace("    then:", "    delay: 5m\n    then:", 1))
    bookings.write_text(bookings.read_text().split("\nrules:")[0])
    told = relais("preview", folder, FIXTURES).output
    assert 'fields.FIRSTNAME: "Eva" -> "You"' in told
    assert "options.delay: 0 -> 300000" in told
    assert "- 5 invoicing.create_invoice  (confirmed booking becomes a customer and a draft invoice)" in told
    assert "eva@example.org" not in told


def test_preview_misunderstood(relais: Relais, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files or a span, one of both; a span is a time; and there is nothing without a store."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("RELAIS_DATA", str(tmp_path))
    new = starter_book.starter()
    for words in ((), (FIXTURES, "--since", "7d"), ("--since", "long ago")):
        assert relais("preview", new, *words).exit_code == 2
    assert relais("preview", new, "--since", "7d").exit_code == 3


@pytest.mark.usefixtures("came_in")
def test_explain_what_came_in(relais: Relais) -> None:
    """An event that came in is asked about anew, with today's rules, while its payload is there."""
    told = relais("explain", "luc")
    assert (told.exit_code, "✓ unsubscribed" in told.output) == (0, True), told.output
    assert '"luc@example.org"' in told.output


@pytest.mark.usefixtures("came_in")
def test_explain_what_is_erased(
    relais: Relais, start: Start, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its payload is gone, the verdict of the time is shown, and that it is one."""

    async def route() -> None:
        async with Mailroom.connect(valkey.url) as mailroom:
            line = {"t": "routed", "at": "", "source": "at", "type": "contact.unsubscribed", "received": "2026-11-21T1"}
            more: dict[str, object] = {"book": "of-then", "fired": [], "missed": [["left", "data.x", "absent"]]}
            page = mailroom.key(f"ledger:{datetime.now(UTC).date()}")
            await mailroom.read(mailroom.store.hset(page, "ada", json.dumps({**line, **more})))

    asyncio.run(route())
    number = port.free("127.0.0.1")
    url = f"http://127.0.0.1:{number}"
    start("console", "--port", str(number), REDIS_URL=valkey.url).wait_healthy(url)
    monkeypatch.setenv("RELAIS_CONSOLE_URL", url)
    told = relais("explain", "ada")
    assert (told.exit_code, "book of-then" in told.output) == (0, True), told.output
    assert "This is the verdict of the time: its payload is erased" in told.output
    assert json.loads(relais("explain", "ada", "--json").stdout)["recomputed"] is False


def test_status_and_show(
    relais: Relais, start: Start, valkey: PrivateValkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status names the book in force, and says whether the files could take its place; show prints it."""
    number = port.free("127.0.0.1")
    monkeypatch.setenv("RELAIS_CONSOLE_URL", f"http://127.0.0.1:{number}")
    start("console", "--port", str(number), REDIS_URL=valkey.url).wait_healthy(f"http://127.0.0.1:{number}")
    none = relais("status")
    assert (none.exit_code, "in force: none yet" in none.output) == (1, True)
    version = json.loads(relais("check", "--json").stdout)["version"]
    texts = {file.name: file.read_text() for file in starter_book.starter().glob("*.yaml")}

    async def keep() -> None:
        async with await Mailroom.open(valkey.url) as mailroom:
            await mailroom.keep_book(version, texts)

    asyncio.run(keep())
    same = relais("status")
    assert (same.exit_code, f"on disk:  {version}, the same" in same.output) == (0, True)
    folder = tmp_path / "book"
    starter_book.copy(folder)
    (folder / "20-people.yaml").unlink()
    other = relais("status", folder)
    assert other.exit_code == 1
    assert "would lose rules " in other.output
    assert relais("approve", folder, typed="n\n").exit_code == 1
    assert "is approved: receivers and workers" in relais("approve", folder, "--yes").output
    assert f"{version} is in force already" in relais("approve").output
    (folder / "20-people.yaml").write_text("rules: {")
    bad = json.loads(relais("status", folder, "--json").stdout)
    assert (bad["in_force"], bad["on_disk"], bad["valid"]) == (version, None, False)
    shown = relais("show", version)
    assert (shown.exit_code, f"# 20-people.yaml, version {version}" in shown.output) == (0, True)
    assert json.loads(relais("show", "--json").stdout)["files"] == texts
    assert relais("show", "never").exit_code == 1


def test_schema(relais: Relais, wrong: Path) -> None:
    """The schema is JSON that knows the book's own names; a book with errors still gets one."""
    text = relais("schema").output
    assert json.loads(text)["$schema"]
    assert "maileon_main.subscribe" in text
    assert relais("schema", wrong).exit_code == 0


@pytest.mark.usefixtures("came_in")
def test_preview_of_too_many(relais: Relais, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A preview reads so many events and says when there are more."""
    folder = tmp_path / "new"
    starter_book.copy(folder)
    assert stored_events.MOST_EVENTS == 100_000
    monkeypatch.setattr(stored_events, "MOST_EVENTS", 3)
    assert "there are more" not in relais("preview", folder, "--since", "7d").output
    monkeypatch.setattr(stored_events, "MOST_EVENTS", 1)
    told = relais("preview", folder, "--since", "7d").output
    assert "1 event:" in told
    assert "these are the first 1; there are more" in told


def test_diff(relais: Relais, tmp_path: Path) -> None:
    """Two books are compared in words, and as JSON; of the same book there is nothing to say."""
    other = tmp_path / "other"
    starter_book.copy(other)
    newsletter = next(other.glob("*newsletter.yaml"))
    text = newsletter.read_text(encoding="utf-8")
    name = text.split("- name: ")[1].split("\n")[0]
    newsletter.write_text(text.replace(f"- name: {name}\n", f"- name: {name}\n    delay: 5m\n", 1), encoding="utf-8")
    told = relais("diff", starter_book.starter(), other)
    assert told.output.splitlines() == [f"changed rule {name}", "  delay is 5m, and was not there"]
    (change,) = json.loads(relais("diff", starter_book.starter(), other, "--json").output)
    assert (change["what"], change["name"]) == ("changed", name)
    assert "Both say the same." in relais("diff", other, other).output


def test_test_for_ci(relais: Relais, tmp_path: Path) -> None:
    """`rules test` writes JUnit's XML beside its table, and annotations for GitHub."""
    report = tmp_path / "report.xml"
    told = relais("test", "--junit", report)
    assert (told.exit_code, "tests passed" in told.output) == (0, True)
    assert report.read_text(encoding="utf-8").count("<testcase ") == told.output.count("passed  ")
    assert relais("test", "--format", "github").output.strip() == ""
