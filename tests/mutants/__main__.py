"""`python -m tests.mutants` (`make mutants`): which of some planted faults the tests miss.

Comes in: a seed, how many, in which modules. Goes out: a table of the survivors and their rate. Never touches the
working tree: everything happens in a copy. Each fault meets the tests that mirror its module (tests/a/test_b.py for
a/b.py, else those of the nearest folder), and then the quick ring of its package. A survivor is a hint, not a verdict:
some faults change nothing that anybody could see, and other tests than these may find it.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from tests.mutants.faults import PlantedFault, find_faults

ROOT = Path(__file__).parents[2]
PACKAGES = ("console", "receiver", "workers", "mailroom", "rules")
#: Seconds after which tests count as hanging, which is a way to notice.
LIMIT = 300
FINE, NOTHING_RAN = 0, 5  # exit statuses of pytest


def copy_tree(folder: Path) -> None:
    """Copy what git knows, and what it would know."""
    words = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
    for name in subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def mirror(module: str, root: Path = ROOT) -> str:
    """Return the tests that mirror a module."""
    path = Path(module)
    own = Path("tests") / path.parent / f"test_{path.stem}.py"
    if (root / own).exists():
        return str(own)
    folder = Path("tests") / path.parent
    while not any((root / folder).rglob("test_*.py")):
        folder = folder.parent
    return str(folder)


def choose(folder: Path, prefix: str, seed: int, count: int) -> list[tuple[str, PlantedFault]]:
    """Draw faults from the modules whose path begins so: first the kind, so that rare ones are met as often."""
    kinds: dict[str, list[tuple[str, PlantedFault]]] = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((folder / package).rglob("*")):
            module = str(path.relative_to(folder))
            if path.suffix in (".py", ".lua") and module.startswith(prefix):
                for fault in find_faults(path.read_bytes(), module):
                    kinds[fault.kind].append((module, fault))
    source = random.Random(seed)
    for each in kinds.values():
        source.shuffle(each)
    chosen: list[tuple[str, PlantedFault]] = []
    while len(chosen) < count and kinds:
        kind = source.choice(sorted(kinds))
        chosen.append(kinds[kind].pop())
        if not kinds[kind]:
            del kinds[kind]
    return chosen


def run_tests(folder: Path, *words: str) -> int:
    """Run tests of the copy; return pytest's exit status, -1 if they hang."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *words]
    environ = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            return process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            return -1
        finally:  # Also what the tests started and a fault let stand.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def judge(folder: Path, module: str, fault: PlantedFault) -> str:
    """Plant a fault, run tests, and take it out again; return who noticed, or `survived`, or that nobody can tell."""
    rings = {"mirror": (mirror(module, folder),), "package": (f"tests/{module.split('/')[0]}", "--quick")}
    if any(_untouched(folder, words) not in (FINE, NOTHING_RAN) for words in rings.values()):
        return "cannot tell: the tests fail without it"
    path = folder / module
    source = path.read_bytes()
    path.write_bytes(fault.plant(source))
    try:
        for name, words in rings.items():
            if run_tests(folder, *words) not in (FINE, NOTHING_RAN):
                return f"found by its {name}"
    finally:
        path.write_bytes(source)
    return "survived"


@cache
def _untouched(folder: Path, words: tuple[str, ...]) -> int:
    return run_tests(folder, *words)


def main() -> int:
    """Plant, judge and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed plants the same faults")
    parser.add_argument("--count", type=int, default=30, help="how many (default 30)")
    parser.add_argument("--module", default="", help="only modules whose path begins so: rules/, workers/retry.py")
    words = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="rm", dir="/tmp") as name:
        folder = Path(name)
        copy_tree(folder)
        chosen = choose(folder, words.module, words.seed, words.count)
        if not chosen:
            parser.error(f"no fault can be planted in {words.module!r}")
        became: Counter[str] = Counter()
        table = Table(Column("place", overflow="fold"), "kind", "was", "became", title="Survivors")
        for n, (module, fault) in enumerate(chosen, 1):
            result = judge(folder, module, fault)
            became[result] += 1
            print(f"{n} of {len(chosen)}: {module}:{fault.line} {fault.kind}: {result}", file=sys.stderr, flush=True)
            if result == "survived":
                table.add_row(f"{module}:{fault.line}", fault.kind, fault.before.strip(), fault.after.strip())
    if table.row_count:
        console.print(table, markup=False)
    judged = sum(count for result, count in became.items() if not result.startswith("cannot"))
    rate = f", {became['survived'] / judged:.0%}" if judged else ""
    console.print(f"seed {words.seed}: " + ", ".join(f"{result} {count}" for result, count in became.most_common()))
    console.print(f"{became['survived']} of {judged} survived{rate}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
