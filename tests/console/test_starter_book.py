import json
from pathlib import Path

from click.testing import CliRunner

from console import catalogue, cli, starter_book
from rules.compiler import loader
from tests import reference


def test_copies(tmp_path: Path) -> None:
    """`relais init` copies the starter book, which is right as it is."""
    folder = tmp_path / "mine"
    outcome = CliRunner().invoke(cli.relais, ["init", str(folder)])
    assert outcome.exit_code == 0
    assert f"Next: relais rules check {folder}" in outcome.output
    assert CliRunner().invoke(cli.relais, ["rules", "check", str(folder)]).exit_code == 0
    assert json.loads((folder / "schema.json").read_text())["$schema"]
    assert {path.name for path in folder.glob("*.yaml")} == {
        path.name for path in starter_book.starter().glob("*.yaml")
    }


def test_never_overwrites(tmp_path: Path) -> None:
    """A folder that holds anything, and a file, are left as they are."""
    (tmp_path / "mine.yaml").write_text("rules: []\n")
    for there in (tmp_path, tmp_path / "mine.yaml"):
        outcome = CliRunner().invoke(cli.relais, ["init", str(there)])
        assert outcome.exit_code == 3
        assert "is there already" in outcome.output
        assert "relais init FOLDER" in outcome.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_every_cell_is_tested() -> None:
    """What a rule of the starter book does for an event of a source, a test of the book expects, step by step."""
    everything = catalogue.build()
    book = loader.load(starter_book.starter(), everything)
    tested = reference.list_tested(book)
    for rule in book.rules:
        steps = list(rule.then)
        while steps:
            step = steps.pop()
            steps += step.next
            kinds = {book.sources[name].kind for name in rule.sources or book.sources}
            for type_ in rule.types or ():
                senders = {kind for kind in kinds if type_ in everything.sources[kind].types} or {"generic"}
                cells = {(kind, type_, step.target.written, step.target.action) for kind in senders}
                assert cells <= tested, f"{rule.name}: {cells - tested}"
