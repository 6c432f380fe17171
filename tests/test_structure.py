"""The house keeps its order: one class per name, one test module per module, imports in one direction."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRODUCT = ("receiver", "workers", "mailroom", "rules", "console", "sandbox")
OURS = (*PRODUCT, "bench", "tests")

#: Folders and modules without a test module at the mirrored place -> where they are tested, and by what.
TESTED_ELSEWHERE = {
    # A command is one function that calls what its own tests test; each is run with its options there.
    "console/commands": "tests/console/test_cli.py",
    "console/aside.py": "tests/console/api/test_aside.py",
    "console/event_files.py": "tests/console/test_replay.py",
    "console/stored_events.py": "tests/console/test_rules_commands.py",
    "console/demo/arrivals.py": "tests/console/demo/test_scenario.py",
    # Records and tables without behaviour, tested by those who make and read them.
    # Pages are tested by who asks for them: without a browser there, with one in tests/browser.
    "console/web": "tests/console/web/test_app.py",
    "console/notebook/search.py": "tests/console/notebook/test_file.py",
    "console/notebook/tables.py": "tests/console/notebook/test_file.py",
    "console/api/jobs.py": "tests/console/jobs/test_desk.py",
    "console/api/notebook.py": "tests/console/api/test_events.py",
    "mailroom/settings.py": "tests/console/test_settings.py",
    "receiver/request.py": "tests/receiver/test_hostile.py",
    "rules/action.py": "tests/rules/test_rule.py",
    "rules/consent.py": "tests/rules/test_language.py",
    "rules/errors.py": "tests/rules/test_defects.py",
    "rules/event.py": "tests/rules/test_rule.py",
    "rules/event_types": "tests/rules/event_types/test_base.py",
    "rules/source/finding.py": "tests/rules/test_defects.py",
    "rules/matching/truth.py": "tests/rules/test_truth_table.py",
    # Parts of one machine that are tested through its door.
    "receiver/sources/base.py": "tests/receiver/sources",
    "mailroom/functions.py": "tests/mailroom/test_mailroom_properties.py",
    "mailroom/queries.py": "tests/mailroom/test_client.py",
    "mailroom/keys.py": "tests/mailroom/test_client.py",
    "mailroom/errors.py": "tests/mailroom/test_client.py",
    "mailroom/reroute.py": "tests/mailroom/test_operator.py",
    "rules/compiler/draft.py": "tests/rules/test_defects.py",
    "rules/compiler/tests_section.py": "tests/rules/test_defects.py",
    "rules/matching/condition.py": "tests/rules/matching/test_pattern.py",
    "rules/values/expression.py": "tests/rules/values",
    "rules/values/template.py": "tests/rules/values",
    "sandbox/calls.py": "tests/sandbox/test_server.py",
    "sandbox/gate.py": "tests/sandbox/test_server.py",
    "sandbox/journal.py": "tests/sandbox/test_server.py",
    "sandbox/rest.py": "tests/sandbox/test_crm.py",
    "sandbox/wire.py": "tests/sandbox/test_server.py",
}


def modules(*folders: str) -> Iterator[Path]:
    """Yield every module of some folders, relative to the root."""
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield file.relative_to(ROOT)


def test_class_names() -> None:
    """A class name stands for one class in the whole repository."""
    places: dict[str, list[str]] = defaultdict(list)
    for module in modules(*OURS):
        for node in ast.parse((ROOT / module).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(module))
    assert len(places) > 300
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_mirror() -> None:
    """Every module of the product has a test module at the mirrored place, or it is said above where it is tested."""
    without = []
    for module in modules(*PRODUCT):
        if module.name in ("__init__.py", "__main__.py"):
            continue
        mirrored = ROOT / "tests" / module.parent / f"test_{module.name}"
        if not mirrored.exists() and not {str(module), str(module.parent)} & set(TESTED_ELSEWHERE):
            without.append(str(module))
    assert without == [], "no test module, and not named in TESTED_ELSEWHERE"


def test_the_list_of_exceptions_is_short_and_right() -> None:
    """What the list of exceptions names exists; a module that has got its test module is taken off the list."""
    named = {*TESTED_ELSEWHERE, *TESTED_ELSEWHERE.values()}
    assert sorted(place for place in named if not (ROOT / place).exists()) == [], "they do not exist"
    modules_on_it = [Path(place) for place in TESTED_ELSEWHERE if place.endswith(".py")]
    mirrored = [str(m) for m in modules_on_it if (ROOT / "tests" / m.parent / f"test_{m.name}").exists()]
    assert mirrored == [], "they have test modules of their own"
    assert len(TESTED_ELSEWHERE) <= 50


def test_imports() -> None:
    """Imports follow the data and never turn back, as `pyproject.toml` says."""
    program = Path(sys.executable).parent / "lint-imports"
    said = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout
    assert " 0 broken" in said.stdout


def test_every_folder_says_what_it_is() -> None:
    """Each package of the product says in its first line what it holds, each module what it does."""
    silent = [str(m) for m in modules(*PRODUCT) if not ast.get_docstring(ast.parse((ROOT / m).read_text()))]
    assert silent == []
