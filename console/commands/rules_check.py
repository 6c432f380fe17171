"""`relais rules check`."""

from pathlib import Path

import click

from console import book, catalogue, json_output
from console.errors import SAID_NO, USAGE, UserError
from console.render.tables import say_count
from receiver.payload import read_payload
from rules.compiler import loader
from rules.compiler.compilation import Checked
from rules.source.problem import as_annotations, as_sarif
from rules.tools import testing


@click.command()
@click.argument("folder", metavar="[FOLDER|FILE]", type=click.Path(path_type=Path), required=False)
@json_output.option
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "github", "sarif"]), default="text", help="For CI."
)
@click.option("--strict", is_flag=True, help="Warnings are errors.")
def command(folder: Path | None, as_json: bool, form: str, strict: bool) -> None:
    """Say what is wrong with the book, with file, line, column and the mend.

    All problems at once. Status 1 when there is an error; warnings alone leave it 0. With a FILE of a book, the whole
    book is read, and only what is wrong in that file is said.

    \b
    Examples:
      relais rules check
      relais rules check book --strict
      relais rules check book/10-newsletter.yaml
      relais rules check --format github
    """
    only = folder if folder is not None and folder.is_file() else None
    place = book.folder(only.parent if only else folder)
    checked = loader.check(place, catalogue.build())
    if checked.book is not None and (empty := list(testing.find_empty_places(checked.book, place, read_payload))):
        checked = Checked(checked.book, (*checked.problems, *empty))
    if only is not None:
        checked = of_file(checked, only)
    match "json" if as_json else form:
        case "json":
            json_output.write(as_json_values(checked))
        case "github":
            click.echo(as_annotations(checked.problems, str(place)))
        case "sarif":
            click.echo(as_sarif(checked.problems, str(place)))
        case _:
            show(checked, place)
    if checked.book is None or (strict and checked.problems):
        raise SystemExit(SAID_NO)


def of_file(checked: Checked, file: Path) -> Checked:
    """Return what is wrong in one file of the book; the book is there where nothing is wrong in any.

    Raises UserError.
    """
    if file.suffix not in loader.SUFFIXES:
        raise UserError(f"{file} is no file of a book", mend="name a file that ends in .yaml", status=USAGE)
    here = Checked(checked.book, tuple(problem for problem in checked.problems if problem.file == file.name))
    if elsewhere := len(checked.errors) - len(here.errors):
        click.echo(f"{file.parent} has {say_count(elsewhere, 'error')} in other files", err=True)
    return here


def as_json_values(checked: Checked) -> dict[str, object]:
    """Return the outcome as plain JSON values."""
    return {
        "valid": checked.book is not None,
        "version": checked.book.version if checked.book else None,
        "problems": [problem.as_json() for problem in checked.problems],
    }


def show(checked: Checked, place: Path) -> None:
    """Print one line per problem, then the verdict."""
    for problem in checked.problems:
        colour = "red" if problem.severity == "error" else "yellow"
        file = place / problem.file if place.is_dir() else place
        where = f"{file}:{problem.line}:{problem.column}:"
        mend = f" ({problem.mend})" if problem.mend else ""
        click.echo(f"{where} {click.style(problem.severity + ':', fg=colour)} {problem.text}{mend}")
    if checked.book is None:
        click.echo(
            f"{say_count(len(checked.errors), 'error')}, {say_count(len(checked.warnings), 'warning')}", err=True
        )
        return
    found = checked.book
    observed = sum(rule.observed and rule.enabled for rule in found.rules)
    click.echo(
        f"The book is right: {say_count(len(found.rules), 'rule')}{f' ({observed} only observed)' * bool(observed)}, "
        f"{say_count(len(found.sources), 'source')}, "
        f"{say_count(len(found.destinations), 'destination')}, {say_count(len(found.tests), 'test')}, "
        f"{say_count(len(checked.warnings), 'warning')}; version {found.version}",
        err=True,
    )
