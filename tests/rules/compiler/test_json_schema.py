import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from console import catalogue
from rules.compiler import json_schema, loader
from rules.source import yaml_document
from rules.source.problem import Problem
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
