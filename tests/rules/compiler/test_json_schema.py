import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from console import catalogue
from rules.compiler import json_schema, loader
from rules.matching.field_types import FieldScope
from rules.source import yaml_document
from rules.source.problem import Problem
from rules.values.filters import FILTERS
from tests.rules.asking import wrong_value
from tests.rules.catalogue import CATALOGUE

FOLDER = Path(__file__).parents[1]
STARTER = Path(loader.__file__).parents[1] / "book"
BOOKS = [*sorted((FOLDER / "books").rglob("*.yaml")), *sorted(STARTER.glob("*.yaml"))]


def values(path: Path) -> Any:
    problems: list[Problem] = []
    doc = yaml_document.read(path.read_bytes(), path.name, problems)
    assert doc is not None
    return doc.value


def test_is_a_schema() -> None:
    """It is a schema of draft 7, with and without a book, and plain JSON."""
    for made in (json_schema.schema(catalogue.build()), json_schema.schema(catalogue.build(), book())):
        jsonschema.Draft7Validator.check_schema(made)
        assert json.loads(json.dumps(made)) == made


def book() -> Any:
    return loader.load(STARTER, catalogue.build())


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.name)
def test_accepts(path: Path) -> None:
    """Books that compile are valid."""
    jsonschema.Draft7Validator(json_schema.schema(catalogue.build())).validate(values(path))


@pytest.mark.parametrize(
    "defect",
    [
        "unknown-section",
        "unknown-rule-key",
        "rule-without-when",
        "source-without-verify",
        "unknown-source-kind",
        "unknown-destination-option",
        "limit-is-no-rate",
        "breaker-is-no-count",
        "breaker-is-on",
        "unknown-action",
        "unknown-argument",
        "argument-missing",
        "unknown-operator",
        "consent-missing",
        "consent-is-true",
        "delay-without-unit",
        "hold-of-another-word",
    ],
)
def test_refuses(defect: str) -> None:
    """What an editor can know to be wrong is invalid."""
    validator = jsonschema.Draft7Validator(json_schema.schema(CATALOGUE))
    assert not validator.is_valid(values(FOLDER / "defects" / f"{defect}.yaml"))


def test_completes() -> None:
    """Event types, fields and actions are in it by name, those of a book's destinations too."""
    definitions = json_schema.schema(catalogue.build(), book())["definitions"]
    assert "data.booker.id" in definitions["pattern"]["properties"]
    assert "data.guests[].status" in definitions["pattern"]["properties"]
    assert "booking.created" in json.dumps(definitions["pattern"]["properties"]["type"])
    assert "crm.upsert_contact" in definitions["action"]["properties"]
    assert "sd_nord_api.person" in definitions["look_up"]["properties"]
    assert "sd_nord_api.person" not in definitions["action"]["properties"]


def test_completes_by_type() -> None:
    """A `when:` that names one type has the fields of that type and no others; one that names none has all."""
    made = json_schema.schema(catalogue.build())
    way, fields = made["definitions"]["when"], {}
    while "if" in way:
        for type_ in way["if"]["properties"]["type"]["enum"]:
            name = way["then"]["$ref"].removeprefix("#/definitions/")
            fields[type_] = set(made["definitions"][name]["properties"])
        way = way["else"]
    assert fields.keys() == catalogue.build().types.keys()
    assert "data.guests[].status" in fields["booking.created"]
    assert "data.guests[].status" not in fields["call.missed"]
    everything = set(made["definitions"]["pattern"]["properties"])
    assert set().union(*fields.values()) <= everything
    assert way == {"$ref": "#/definitions/pattern"}


def test_completes_inside_templates() -> None:
    """The values of a rule's actions offer the fields of its type as templates, at every depth; any value, filters."""
    made = json_schema.schema(catalogue.build())
    definitions = made["definitions"]
    way, offered = definitions["filled"], {}
    while way:
        for type_ in way["if"]["properties"]["when"]["properties"]["type"]["enum"]:
            (values,) = way["then"]["properties"]["then"]["allOf"]
            action = definitions[values["$ref"].removeprefix("#/definitions/")]["items"]
            assert action["properties"]["next"]["allOf"] == [values]
            name = action["patternProperties"][r"\."]["additionalProperties"]["$ref"].removeprefix("#/definitions/")
            value = definitions[name]
            assert value["items"] == value["additionalProperties"] == {"$ref": f"#/definitions/{name}"}
            offered[type_] = {each["label"]: each["body"] for each in value["defaultSnippets"]}
        way = way.get("else")
    assert offered.keys() == catalogue.build().types.keys()
    assert offered["booking.created"]["{{ data.booker.id }}"] == '"{{ data.booker.id }}"'
    assert "{{ data.booker.id }}" not in offered["call.missed"]
    assert not any("[]" in label for labels in offered.values() for label in labels)
    filters = {each["label"]: each["body"] for each in definitions["template"]["defaultSnippets"]}
    assert filters["{{ data.… | omit }}"] == '"{{ data.${1:field} | omit }}"'
    assert {label.split("| ")[1].split("(")[0].split(" ")[0] for label in filters} == {
        "default",
        "omit",
        "clear",
        *FILTERS,
    }


def test_templates_offered_are_right() -> None:
    """Every template that is offered for a type compiles, and is valid where it stands."""
    made = json_schema.schema(CATALOGUE)
    validator = jsonschema.Draft7Validator(made)
    for type_, model in sorted(CATALOGUE.types.items()):
        value = made["definitions"].get(f"value.{type_}")
        scope = FieldScope(data_models=(model,))
        for each in value["defaultSnippets"] if value else ():
            template = yaml_document.read(each["body"].encode(), "a.yaml", [])
            assert template is not None
            assert wrong_value(template.value, scope) == []
            action = {"crm.add_note": {"email": template.value, "text": template.value}}
            rule = {"name": "a", "when": {"type": type_}, "then": [action]}
            if each is value["defaultSnippets"][0]:
                validator.validate({"rules": [rule]})


def test_hover_texts() -> None:
    """Every key has a description, and no title names a class."""
    made = json_schema.schema(catalogue.build(), book())
    assert list(_silent(made, ())) == []
    assert made.pop("title") == "A book of Relais"
    assert list(_titles(made)) == []
    definitions = made["definitions"]
    about = definitions["pattern.booking.created"]["properties"]["data.status"]["description"]
    assert about.startswith("Text: canceled, confirmed")
    contact = definitions["arguments.rest.upsert_contact"]["properties"]
    assert contact["email"]["description"].startswith("Normalised e-mail.")
    generic = next(
        way["then"]["properties"]
        for way in made["properties"]["sources"]["additionalProperties"]["allOf"]
        if way["if"]["properties"]["kind"] == {"const": "generic"}
    )
    assert "read" in generic


def _titles(node: Any) -> Iterator[str]:
    """Yield the titles of schemas: pydantic writes the names of its classes there."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str):
            yield node["title"]
        for inner in node.values():
            yield from _titles(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _titles(inner)


def _silent(node: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the keys that have no description. What stands under `if` asks, and no editor shows it."""
    if isinstance(node, dict):
        for name, inner in node.get("properties", {}).items():
            if not (isinstance(inner, dict) and inner.get("description")):
                yield (*path, name)
        for name, inner in node.items():
            if name != "if":
                yield from _silent(inner, (*path, name))
    elif isinstance(node, list):
        for inner in node:
            yield from _silent(inner, path)


def test_groups() -> None:
    """A group is valid with rules that have no condition of their own; a rule alone needs one."""
    validator = jsonschema.Draft7Validator(json_schema.schema(catalogue.build()))
    rule = {"name": "a", "then": "nothing"}
    group = {"group": "g", "when": {"type": "call.missed"}, "rules": [rule]}
    assert validator.is_valid({"rules": [group, {**rule, "when": {"type": "call.missed"}}]})
    assert not validator.is_valid({"rules": [rule]})
    assert not validator.is_valid({"rules": [{**group, "name": "b"}]})


def test_presets() -> None:
    """With a preset a way to verify may be written by half; without one, and at other kinds, it may not."""
    validator = jsonschema.Draft7Validator(json_schema.schema(catalogue.build()))

    def fits(**source: Any) -> bool:
        return bool(validator.is_valid({"sources": {"x": source}}))

    half = {"hmac": {"secret": "${A}"}}
    assert fits(kind="generic", preset="stripe", verify=half)
    assert not fits(kind="generic", verify=half)
    assert not fits(kind="generic", preset="stripe")
    assert not fits(kind="generic", preset="strip", verify=half)
    assert not fits(kind="generic", preset="stripe", verify={"hmac": {"secret": "${A}", "odd": 1}})
    assert not fits(kind="seminardesk", verify=half)
    assert not fits(kind="seminardesk", preset="stripe", verify={"basic": {"user": "a", "password": "${A}"}})
