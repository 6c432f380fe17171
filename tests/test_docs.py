"""What README and docs say about commands, settings, metrics, addresses and files is what there is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from console import cli
from console.api import app, metrics
from console.api.metrics import CATALOGUE, Snapshot
from mailroom import QuotaState, RoomState
from receiver.spool import SpoolState
from rules.compiler import json_schema
from tests import keys_page, manual

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    *(page for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "rules" / "README.md") if page.exists()),
    *sorted((ROOT / "docs").rglob("*.md")),
]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
CONSOLE = (ROOT / "docs" / "reference" / "console.md").read_text(encoding="utf-8")

#: Folders that are made where Relais is built or runs; the pages may name what lies in them.
MADE = (".venv/", ".relais/", ".cache/")


def rows(text: str) -> list[str]:
    """Return the rows of all tables."""
    return [line for line in text.splitlines() if line.startswith("| `")]


def code(text: str) -> str:
    """Return a text as code in Markdown; nothing stays nothing."""
    return f"`{text}`" if text else ""


# -- files


def named(text: str) -> set[str]:
    """Return what looks like a file or folder of the repository, written as code."""
    without_blocks = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    folders = "|".join(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."))
    words = set(re.findall(r"`([^`\s]+)`", without_blocks))
    inside = {word for word in words if re.match(rf"(?:{folders})/", word)}
    return inside | {word for word in words if re.fullmatch(r"[\w./-]+\.(?:py|lua|md|sh|toml)", word)}


def exists(name: str, page: Path) -> bool:
    """Whether a name, which may be written short or with a star, is that of a file or folder."""
    name = re.sub(r"(?::\d+|#.*)$", "", name).strip("/")
    if (page.parent / name).exists() or any(ROOT.glob(name)):
        return True
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."]
    return "/" not in name and any(True for folder in folders for _ in folder.rglob(name))


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_files_exist(page: Path) -> None:
    """Every file and folder that a page names exists."""
    names = named(page.read_text(encoding="utf-8"))
    assert [name for name in sorted(names) if not name.startswith(MADE) and not exists(name, page)] == []


def test_files_are_found() -> None:
    """The test above sees names in running text and in tables."""
    assert len(named(README)) > 5
    assert {"docs/operating.md", "rules/book"} <= {name.rstrip("/") for name in named(README)}


def test_house() -> None:
    """The README's picture of the house has every folder with code, and none that is not there."""
    _, _, picture = README.partition("## The house")
    told, above = set(), ""
    for indent, name in re.findall(r"^( *)(\w+)/ ", picture.split("```")[1], re.MULTILINE):
        above = above if indent else name
        told.add(f"{above}/{name}" if indent else name)
    product = ("receiver", "workers", "mailroom", "rules", "console", "sandbox")
    code = {file.parent.relative_to(ROOT) for name in product for file in (ROOT / name).rglob("*.py")}
    assert {str(folder) for folder in code} <= told
    assert [name for name in told if not (ROOT / name).is_dir()] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links(page: Path) -> None:
    """Every link to another page leads to a page, and to a heading that is there."""
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text):
        file, _, heading = target.partition("#")
        there = page.parent / file if file else page
        assert there.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}, target


# -- commands


def printed(path: str) -> Iterator[tuple[str, str]]:
    """Yield each command with its sentence, as `--help` prints them, group by group."""
    said = CliRunner().invoke(cli.relais, [*path.split()[1:], "--help"], terminal_width=200).output
    _, _, table = said.partition("\nCommands:\n")
    for line in table.split("\n\n")[0].splitlines():
        name, about = line.split(maxsplit=1)
        inner = list(printed(f"{path} {name}"))
        yield from inner or [(f"{path} {name}", about)]


def listed(text: str) -> list[tuple[str, str]]:
    """Return each command of a page's table with its sentence."""
    return re.findall(r"^\| \[?`(relais [\w ]+)`(?:\]\S+)? \| (.*) \|$", text, re.MULTILINE)


def test_commands() -> None:
    """The page of commands has what `relais --help` and the help of its groups print; the README the first dozen."""
    every = list(printed("relais"))
    assert listed(manual.commands_page()) == every
    assert len(listed(README)) == 12
    assert set(listed(README)) <= set(every)


@pytest.mark.parametrize("page", manual.PAGES, ids=lambda page: page.stem)
def test_pages_are_made(page: Path) -> None:
    """Each page that is made whole is what the code says; `python -m tests.reference` writes it."""
    assert page.read_text(encoding="utf-8") == manual.PAGES[page]()


# -- words

#: Words of the logs, the metrics and the commands that mean something else elsewhere.
WORDS = """box room drain lease beat settle fate mark meet spool book case job echo stale observed held doubtful
quarantine ledger notebook breaker shadow receipt"""


def test_glossary() -> None:
    """The glossary has each word of ours with one meaning, and whoever reads README or operating is led there."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| ([a-z ,-]+) \| (.+) \| (.+) \|$", text, re.MULTILINE)
    assert set(WORDS.split()) <= {word for word, _, _ in told}
    assert len({word for word, _, _ in told}) == len(told)
    assert all(meaning.endswith((".", ")")) for word, meaning, _ in told if word != "word")
    pages = [README, (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")]
    assert all("glossary.md" in page for page in pages)


# -- keys of a book

#: Pages that are made from the code and name keys.
KEYS = "\n".join(
    (ROOT / "docs" / page).read_text(encoding="utf-8")
    for page in ("reference/book.md", "reference/arguments.md", "sources/reference.md")
)


def test_keys() -> None:
    """Every key of the JSON Schema stands in a page that is made, with a sentence that says more than its type."""
    told = {name.rpartition(".")[2] for name in re.findall(r"^\| (?:\w+ \| )?`([\w.\[\]]+)` \|", KEYS, re.MULTILINE)}
    found = list(keys_page.names())
    assert len(found) > 900
    assert sorted({f"{place}: {name}" for place, name in found if name not in told}) == []
    empty = set(json_schema._TYPES.values()) | {""}
    rows = re.findall(r"^\| (?:\w+ \| )?`[\w.\[\]]+` \| ?([^|]*?) \|", KEYS, re.MULTILINE)
    assert [row for row in rows if row in empty] == []


# -- settings


def test_settings() -> None:
    """The page of settings is what `relais settings` prints."""
    said = json.loads(CliRunner().invoke(cli.relais, ["settings", "--json"]).stdout)
    want = [
        f"| `{one['variable']}` | {code(one['default'])} | {', '.join(one['processes'])} | {one['about']} |"
        for one in said
    ]
    assert rows(manual.settings_page()) == want
    assert len(want) > 20


def test_settings_as_a_table() -> None:
    """`relais settings` prints each variable with its default, who reads it and what it means."""
    said = CliRunner().invoke(cli.relais, ["settings"]).stdout
    [line] = [line for line in said.splitlines() if " RELAIS_CONSOLE_PORT " in line]
    assert re.search(r"RELAIS_CONSOLE_PORT\W+8081\W+console, up\W+Port the console listens on\.", line)


# -- metrics


def exposed() -> dict[str, str]:
    """Return every metric of the exposition, under the name that its samples have, with its help."""
    counts = {"|".join([one.counter, *one.labels]): 1 for one in CATALOGUE if one.kind == "counter"}
    room = RoomState("crm", 1, 1, 1, 1, 1, "")
    text = metrics.write_text(
        Snapshot(
            counts,
            [room],
            [QuotaState("KEY", 1, 2, 0, 3)],
            came={"shop": 1},
            quiet=(),
            held={"shop": 1},
            spool=SpoolState(1, 1, 1, 1),
            measured={
                one.counter: {"|".join(one.labels): {"5": 1, "sum": 4}} for one in CATALOGUE if one.kind == "histogram"
            },
        )
    ).decode()
    return {
        family.name if family.type == "histogram" else sample.name: family.documentation
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_metric_has_a_sample() -> None:
    """The test above sees every metric of the catalogue, and counters under the name that Prometheus stores."""
    found = exposed()
    assert len(found) == len(CATALOGUE)
    assert "relais_events_received_total" in found


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_metrics(page: Path) -> None:
    """Every metric that a page names is one that `/metrics` shows under this very name."""
    known = set(exposed()) | {"relais_valkey", "relais_spool", "relais_notebook", "relais_work"}
    assert set(re.findall(r"\brelais_[a-z_]+\b", page.read_text(encoding="utf-8"))) - known == set()


def test_table_of_metrics() -> None:
    """The page of metrics has each of them under its name in the exposition, with its sentence."""
    found = re.findall(r"^\| `(relais_\w+)` \| .* \| ([^|]+) \|$", manual.metrics_page(), re.MULTILINE)
    assert dict(found) == exposed()


# -- addresses of the console


def test_addresses() -> None:
    """The page of the console names every address of it."""
    told = "\n".join(row for row in rows(CONSOLE) if row.startswith(("| `GET ", "| `POST ")))
    for route in app.ROUTES:
        address = re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), route.path)
        assert re.search(rf"[` ]{re.escape(address)}[`?]", told), address
