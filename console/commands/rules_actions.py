"""`relais rules actions`."""

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from console import book, catalogue, json_output
from console.render import abilities
from rules.catalogue import ActionKind, Catalogue


@click.command()
@click.argument("name", required=False)
@click.option("--book", "folder", type=click.Path(path_type=Path), help="The book [RELAIS_BOOK, rules/book].")
@json_output.option
def command(name: str | None, folder: Path | None, as_json: bool) -> None:
    """List the actions of the book's destinations: who can what, arguments, what they write, consent.

    NAME is a destination of the book or a kind of destination; without it all are listed, after a table of who can
    what: found, held and again say what becomes of a delivery whose answer was lost. In brackets behind an argument
    stand its own keys, those with a star are needed.

    \b
    Examples:
      relais rules actions
      relais rules actions crm
      relais rules actions maileon --json
    """
    everything = catalogue.build()
    kinds = {owner: everything.destinations[kind] for owner, kind in owners(everything, name, folder).items()}
    found = {
        f"{owner}.{action.name}": described(action) for owner, kind in kinds.items() for action in kind.actions.values()
    }
    cannot = {f"{owner}.{action}": why for owner, kind in kinds.items() for action, why in kind.cannot.items()}
    if as_json:
        json_output.write(found | {name: {"cannot": why} for name, why in cannot.items()})
        return
    if name is None:
        click.echo(abilities.draw(kinds))
    for title, told in found.items():
        click.echo(wrap(f"{title}  {told['about']}", "  ").replace(title, click.style(title, bold=True), 1))
        for row in ("required", "optional"):
            for argument, about in told[row].items():
                click.echo(wrap(f"  {row:9} {argument}{': ' + about if about else ''}"))
        for argument, why in told["refuses"].items():
            click.echo(wrap(f"  {'never':9} {argument}: {why}"))
        for row in ("touches", "once_by", "consent", "on_doubt", "echoes", "rights", "limits"):
            if told[row]:
                click.echo(wrap(f"  {row.replace('_', ' '):9} {told[row]}"))
        click.echo()
    for title, why in cannot.items():
        click.echo(wrap(f"{title} cannot be done: {why}.", "  "))


def wrap(line: str, indent: str = " " * 12) -> str:
    """Return a line as lines of at most 80 columns; the further ones begin under the text of the first."""
    return textwrap.fill(
        line, abilities.WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def owners(everything: Catalogue, name: str | None, folder: Path | None) -> dict[str, str]:
    """Return whose actions to list: name -> kind of destination."""
    if name is not None and name in everything.destinations:
        return {name: name}
    destinations = book.load(folder).destinations
    if name is None:
        return {each.name: each.kind for each in destinations.values()}
    if name not in destinations:
        known = ", ".join([*destinations, *everything.destinations])
        raise click.BadParameter(f"there is no destination or kind {name!r}; there are {known}", param_hint="NAME")
    return {name: destinations[name].kind}


def described(action: ActionKind) -> dict[str, Any]:
    """Return what a rule author needs to know of an action."""
    required, optional = arguments(action.arguments)
    return {
        "about": action.about + (" (a look-up)" if action.look_up else ""),
        "required": required,
        "optional": optional,
        "touches": action.touches_about or "nothing",
        "once_by": action.once_by_about or "delivery",
        "consent": ", ".join(sorted(action.consent)) or "none",
        "on_doubt": action.on_doubt or "",
        "echoes": ", ".join(sorted(action.echoes)),
        "rights": action.rights,
        "limits": action.limits,
        "refuses": dict(action.refuses),
        "result": sorted(action.result.model_fields) if action.result else [],
    }


def arguments(model: type[BaseModel]) -> tuple[dict[str, str], dict[str, str]]:
    """Return required and optional arguments with their sentence, and what stands in those that have keys."""
    schema = model.model_json_schema()
    told = {
        name: " ".join(filter(None, [field.description, list_keys(schema["properties"][name], schema)]))
        for name, field in model.model_fields.items()
    }
    required = {name: about for name, about in told.items() if model.model_fields[name].is_required()}
    return required, {name: about for name, about in told.items() if name not in required}


def list_keys(argument: Any, schema: Mapping[str, Any]) -> str:
    """Return which keys an argument has, or each entry of a list; needed ones with a star; nothing without keys."""
    inner = re.search(r'"#/\$defs/(\w+)"', json.dumps(argument))
    record = schema["$defs"][inner[1]] if inner else {}
    needed = record.get("required", ())
    keys = ", ".join(f"{name}*" if name in needed else name for name in record.get("properties", {}))
    return f"({'each ' if 'array' in json.dumps(argument) else ''}{keys})" if keys else ""
