"""docs/performance.md is what the generator makes of the kept figures."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import figures, page

FIXTURE = Path(__file__).parent / "figures"


@pytest.fixture(scope="module")
def kept() -> dict[str, dict[str, Any]]:
    """A small run of everything."""
    return figures.load(FIXTURE)


def test_the_page_has_not_drifted() -> None:
    """The page in docs is made of the figures in docs, and of nothing else."""
    assert page.PAGE.read_text() == page.build(figures.load(figures.FOLDER)), "run `make performance`"


def test_every_plot_of_the_page_is_there() -> None:
    """A curve on the page has its picture."""
    curves = figures.load(figures.FOLDER).get("curves", {"curves": []})["curves"]
    missing = [each["name"] for each in curves if not (page.PAGE.parent / "plots" / f"{each['name']}.png").exists()]
    assert missing == []


def test_a_verdict_is_shown(kept: dict[str, dict[str, Any]]) -> None:
    """A bound that is kept has a tick, one that is broken a cross, and each row its connections, policy and pins."""
    text = page.rows(kept["rows"])
    assert (
        "| accept@32 | acknowledged | 0.7 | 0.65 to 0.75 | ≥ 0.6 | ✓ | ≥ 0.75 | 32; appendfsync always; nothing |"
        in text
    )
    assert "| idle | accepted to delivered | 5 | 4 to 6 | ≤ 4 | ✗ |" in text


def test_where_figures_come_from_is_said(kept: dict[str, dict[str, Any]]) -> None:
    """Command, machine, commit and date stand above the figures."""
    text = page.rows(kept["rows"])
    assert "`make bench ARGS='--save'` on A processor, 2 cores" in text
    assert "commit abc1234, 2026-01-01 00:00 UTC; 3 rounds." in text


def test_a_quick_run_is_marked(kept: dict[str, dict[str, Any]]) -> None:
    """Nobody quotes a figure of a quick run by accident."""
    assert "quick look" in page.rows({**kept["rows"], "quick": True})
    assert "quick look" not in page.rows(kept["rows"])


def test_what_is_missing_names_its_command() -> None:
    """Without any figures every part says how to take them."""
    text = page.build({})
    assert [command for command in page.COMMANDS.values() if f"Not taken yet: `{command}`." not in text] == []


def test_how_a_change_is_judged() -> None:
    """The page says which bounds a comparison has, with the numbers of the code."""
    text = page.build({})
    assert '    make bench ARGS="--against main --rows accept,deliver,idle"' in text
    for words in ("30 at most", "more than 15%", "more than 3%", "99% interval", "fewer than 8 rounds"):
        assert words in text
    assert "(processor time 5%, p50 10%, p99 25%)" in text


def test_the_whole_page(kept: dict[str, dict[str, Any]]) -> None:
    """Each part has its heading, and each report its table."""
    text = page.build(kept)
    for words in (
        "## Capacity on paper",
        "| 100,000 |",
        "![Size of the body](plots/bodies.png)",
        "| Other | memory only | 900 | 450 | 1.5 | 0; 2; 0 | 7 of 600 | 4 | 3 | 1 |",
        "**Third is missing here**: it could not be installed",
        "| busiest | CPU of the busiest node | 0.35 |",
        "| received | from",
        "- `hot_key`: 3,000 events of one person",
        "at 500 events/s and\n  50 ms for a delivery",
        "**spool could not be taken in every round**: round 2",
    ):
        assert words in text
    assert "Not taken yet" not in text


def test_the_fixture_has_the_shape_of_the_kept(kept: dict[str, dict[str, Any]]) -> None:
    """What is kept for real has at least the keys of the fixture, so that these tests speak about it."""
    for name, report in figures.load(figures.FOLDER).items():
        assert set(kept[name]) <= set(report), name
        json.dumps(report)
