"""The faults that `make mutants` plants."""

import ast
from pathlib import Path

import pytest

from tests.mutants import __main__ as mutants
from tests.mutants.faults import find_faults

MODULE = '''\
"""Head with 3 numbers."""

import logging

log = logging.getLogger(__name__)
LIMIT: "int | 7" = 30

@decorated(True)
def choose(old: int, new: int) -> int | None:
    """Return 1 of them."""
    if old < new and not old == 2:
        log.info(
            "chosen old=%d",
            old,
        )
        save(old)
        return old
    if "ä" in names: raise ValueError(f"no {1 + 1}")
    return None
'''


def planted(text: str, name: str = "module.py") -> dict[tuple[int, str, str], str]:
    """Return every module with a fault, by line, kind and what was there."""
    source = text.encode()
    return {(each.line, each.kind, each.before): each.plant(source).decode() for each in find_faults(source, name)}


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ((6, "constant", "30"), 'LIMIT: "int | 7" = 300'),
        ((11, "branch", "old < new and not old == 2"), "    if (not (old < new and (not old == 2))):"),
        ((11, "and/or", "old < new and not old == 2"), "    if (old < new or not old == 2):"),
        ((11, "comparison", "old < new"), "    if (old <= new) and not old == 2:"),
        ((11, "comparison", "old == 2"), "    if old < new and not (old != 2):"),
        ((11, "constant", "2"), "    if old < new and not old == 3:"),
        ((16, "statement", "save(old)"), "        pass"),
        ((17, "return", "return old"), "        return None"),
        ((18, "comparison", '"ä" in names'), "    if ('ä' not in names): raise ValueError(f\"no {1 + 1}\")"),
        ((18, "statement", 'raise ValueError(f"no {1 + 1}")'), '    if "ä" in names: pass'),
    ],
)
def test_fault(where: tuple[int, str, str], line: str) -> None:
    """Each fault changes its line and no other."""
    found = planted(MODULE)[where]
    ast.parse(found)
    lines = MODULE.splitlines()
    lines[where[0] - 1] = line
    assert found.splitlines() == lines


def test_a_log_line_of_several_lines() -> None:
    """A removed statement leaves its lines behind, so that what a test says about lines stays true."""
    [found] = [text for (_, kind, _), text in planted(MODULE).items() if kind == "log line"]
    assert found.count("\n") == MODULE.count("\n")
    assert found.splitlines()[11] == "        pass"
    assert found.splitlines()[15] == "        save(old)"


def test_what_is_no_fault() -> None:
    """Docstrings, annotations, decorators and the insides of formatted texts are left alone, and what is None."""
    assert {line for line, _, _ in planted(MODULE)} == {6, 11, 12, 16, 17, 18}


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("  if a == b then", "  if a ~= b then"),
        ("  if a >= b then", "  if a > b then"),
        ("  local x = a and b", "  local x = a or b"),
        ("local MAX_DEATHS = 3", "local MAX_DEATHS = 73"),
        ("  n = n + 1", "  n = n + 2"),
        ("  redis.call('DEL', P .. f(x))", "  do end"),
        ("  return true", "  return false"),
    ],
)
def test_lua(code: str, fault: str) -> None:
    """A passage of Lua that can be wrong; comments are left alone."""
    text = f"-- a == b and true\n{code}  -- a < b\n"
    found = planted(text, "some.lua")
    assert found[2, "Lua", code] == text.replace(code + "  -- a < b", fault + "  -- a < b")
    assert {line for line, _, _ in found} == {2}


def test_a_seed_chooses() -> None:
    """A seed chooses the same faults every time, of several kinds, and another seed others."""
    chosen = mutants.choose(mutants.ROOT, "rules/matching", 1, 40)
    assert len(chosen) == 40
    assert chosen == mutants.choose(mutants.ROOT, "rules/matching", 1, 40)
    assert chosen != mutants.choose(mutants.ROOT, "rules/matching", 2, 40)
    assert len({fault.kind for _, fault in chosen}) >= 5
    for module, fault in chosen:
        ast.parse(fault.plant((mutants.ROOT / module).read_bytes()))


def test_the_mirror(tmp_path: Path) -> None:
    """A module is mirrored by the file of its name, else by the nearest folder with tests."""
    (tmp_path / "tests" / "a").mkdir(parents=True)
    (tmp_path / "tests" / "a" / "test_b.py").touch()
    assert mutants.mirror("a/b.py", tmp_path) == "tests/a/test_b.py"
    assert mutants.mirror("a/deep/c.py", tmp_path) == "tests/a"


@pytest.mark.parametrize(
    ("test", "result"),
    [
        ("assert module.double(2) == 4", "found by its mirror"),
        ("assert module.double(1)", "survived"),
        ("assert module.double(2) == 5", "cannot tell: the tests fail without it"),
    ],
)
def test_judge(test: str, result: str, tmp_path: Path) -> None:
    """A fault is found by a test that fails with it only; afterwards the module is as it was."""
    source = b"def double(n):\n    return n * 2\n"
    for name in ("a", "tests/a", "tests"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "a" / "module.py").write_bytes(source)
    (tmp_path / "tests" / "rings.py").write_text((mutants.ROOT / "tests" / "rings.py").read_text())
    (tmp_path / "tests" / "a" / "test_module.py").write_text(f"from a import module\n\ndef test_it():\n    {test}\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p tests.rings\n")
    [fault] = [each for each in find_faults(source, "module.py") if each.kind == "constant"]
    assert mutants.judge(tmp_path, "a/module.py", fault) == result
    assert (tmp_path / "a" / "module.py").read_bytes() == source
