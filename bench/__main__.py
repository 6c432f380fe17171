"""`python -m bench`: takes the rows in rounds, interleaved, and prints medians with their spread.

`--rows accept,deliver` some only · `--rounds 3` · `--quick` small sizes · `--json` for machines
"""

import argparse
import json
import statistics
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import rows


def main() -> int:
    """Take the measurements and print them."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rows", default="", help="names, separated by commas; default: all")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is taken (default 3)")
    parser.add_argument("--quick", action="store_true", help="small sizes: a look, not a figure to publish")
    parser.add_argument("--json", action="store_true", help="JSON on standard output instead of a table")
    words = parser.parse_args()
    wanted = set(words.rows.split(",")) if words.rows else {row.name for row in rows.ROWS}
    unknown = wanted - {row.name for row in rows.ROWS}
    if unknown:
        names = ", ".join(dict.fromkeys(r.name for r in rows.ROWS))
        parser.error(f"no row is called {', '.join(sorted(unknown))}; there are: {names}")
    rows.raise_limits()
    size = rows.QUICK if words.quick else rows.Size()
    progress = Console(stderr=True)
    taken: dict[str, list[rows.Figures]] = {}
    for turn in range(words.rounds):
        for name in dict.fromkeys(row.name for row in rows.ROWS if row.name in wanted):
            progress.print(f"round {turn + 1} of {words.rounds}: {name} …", style="dim")
            take = next(row.take for row in rows.ROWS if row.name == name)
            taken.setdefault(name, []).append(take(size))
    report = {"machine": rows.machine(), "rounds": words.rounds, "quick": words.quick, "rows": _report(taken)}
    if words.json:
        json.dump(report, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        _show(report)
    return 0


def _report(taken: dict[str, list[rows.Figures]]) -> list[dict[str, Any]]:
    out = []
    for row in rows.ROWS:
        if row.name not in taken:
            continue
        rounds = taken[row.name]
        figures = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        ratios = [each[row.ratio] for each in rounds]
        out.append(
            {
                "row": row.name,
                "about": row.about,
                "bound": row.bound,
                "median": figures[row.ratio],
                "least": min(ratios),
                "most": max(ratios),
                "figures": figures,
            }
        )
    return out


def _show(report: dict[str, Any]) -> None:
    console = Console()
    machine = report["machine"]
    console.print(
        f"{machine['cores']} cores, Python {machine['python']}, {machine['versions']}, commit {machine['commit']}; "
        f"{report['rounds']} rounds, {rows.CONNECTIONS} connections, appendfsync always",
        style="dim",
    )
    table = Table("row", "what", "median", "least to most", "bound", "figures")
    for row in report["rows"]:
        figures = ", ".join(f"{k} {v:,.4g}" for k, v in row["figures"].items() if not k.startswith("ratio"))
        spread = f"{row['least']:.3g} to {row['most']:.3g}"
        table.add_row(row["row"], row["about"], f"{row['median']:.3g}", spread, row["bound"], figures)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
