"""`relais rules test`."""

import contextlib
import time
from pathlib import Path

import click

from console import book, json_output
from console.errors import SAID_NO, UserError
from receiver import payload
from rules.compiler import loader
from rules.source.problem import as_annotations, did_you_mean
from rules.tools import testing
from rules.tools.testing import Results

#: Seconds between two looks at the files with `--watch`.
LOOK_EVERY = 0.5


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--name", "names", multiple=True, help="Only the test of this name; may be repeated.")
@click.option("--watch", is_flag=True, help="Run again whenever a file changes; Ctrl-C ends.")
@json_output.option
@click.option("--format", "form", type=click.Choice(["text", "json", "github"]), default="text", help="For CI.")
@click.option("--junit", type=click.Path(path_type=Path), help="Also write JUnit's XML to this file; - is the output.")
def command(
    folder: Path | None, names: tuple[str, ...], watch: bool, as_json: bool, form: str, junit: Path | None
) -> None:
    """Run the tests that stand in the book.

    Says what was expected (-) and what came (+), and which ways through the rules no test goes: a rule that fires or is
    held back by unless, an action that is taken or skipped, a group of any_of that holds or does not.
    Status 1 when a test fails.

    \b
    Examples:
      relais rules test
      relais rules test book --watch
      relais rules test --name "a free booking makes no invoice"
      relais rules test --junit report.xml --format github
    """
    place = book.folder(folder)
    if watch:
        follow(place, names)
        return
    results = run(place, names)
    if junit is not None:
        with click.open_file(str(junit), "w", encoding="utf-8") as file:
            file.write(testing.as_junit(results, str(place)) + "\n")
    match "json" if as_json else form:
        case "json":
            json_output.write(testing.as_json(results))
        case "github":
            click.echo(as_annotations(testing.as_problems(results), str(place)))
        case _ if str(junit) != "-":
            show(results, coverage=not names)
    if not results.passed:
        raise SystemExit(SAID_NO)


def run(place: Path, names: tuple[str, ...]) -> Results:
    """Run the tests. Raises UserError for a book with errors, and for a name that no test has."""
    loaded = book.load(place)
    known = {test.name for test in loaded.tests}
    if strange := sorted(set(names) - known):
        mend = did_you_mean(strange[0], known)
        raise UserError(f"the book has no test named {strange[0]!r}", mend=mend, status=SAID_NO)
    return testing.run(loaded, place, payload.read_payload, names=names)


def follow(place: Path, names: tuple[str, ...]) -> None:
    """Run the tests after every change."""
    seen = None
    try:
        while True:
            now = stamp(place)
            if now != seen:
                seen = now
                click.clear()
                try:
                    show(run(place, names), coverage=not names)
                except UserError as exc:
                    exc.show()
            time.sleep(LOOK_EVERY)
    except KeyboardInterrupt:
        click.echo()


def stamp(place: Path) -> tuple[object, ...]:
    """Return a mark that differs once a file of the book or a fixture has changed."""
    fixtures = []
    for path in sorted(place.rglob("*.*")):
        with contextlib.suppress(OSError):  # gone since it was listed
            fixtures.append((str(path), path.stat().st_mtime_ns, path.stat().st_size))
    return loader.fingerprint(place), tuple(fixtures)


def show(results: Results, *, coverage: bool) -> None:
    """Print one line per test, the differences, and, of a whole book, what no test reaches."""
    for result in results.results:
        mark = click.style("passed", fg="green") if result.passed else click.style("FAILED", fg="red", bold=True)
        where = "" if result.passed else f"  ({result.test.file}:{result.test.line})"
        click.echo(f"{mark}  {result.test.name}{where}")
        for line in result.lines:
            colour = {"-": "red", "+": "green"}.get(line[:1])
            click.echo(f"        {click.style(line, fg=colour) if colour else line}")
    passed = sum(result.passed for result in results.results)
    told = f"{passed} of {len(results.results)} tests passed"
    if coverage:
        for branch in results.unreached:
            where = f"{branch.file}:{branch.line} {branch.rule}"
            click.echo(f"{click.style('no test', fg='yellow')}  {where}: {branch.what}")
        told += f"; they go {results.coverage:.0%} of the ways"
    click.echo(f"{told}.", err=True)
