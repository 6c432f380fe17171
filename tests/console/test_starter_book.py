import json
from pathlib import Path

from click.testing import CliRunner

from console import cli, starter_book


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
