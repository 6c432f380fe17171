import ast
import re
import sys
from pathlib import Path

import pytest

from rules import event_types
from rules.event import URGENT_TYPES
from rules.event_types.base import EventData

FOLDER = Path(event_types.__file__).parent


@pytest.mark.parametrize("type", event_types.TYPES)
def test_every_type(type: str) -> None:
    """Each type is a dotted name in lower case, and its model keeps unknown fields and hides values in errors."""
    assert type == type.lower()
    assert type.count(".") == 1
    model = event_types.TYPES[type]
    assert issubclass(model, EventData)
    assert model.model_config["extra"] == "allow"
    assert model.model_config["hide_input_in_errors"]
    assert model.__doc__


def test_urgent() -> None:
    """Urgent is each type that says that a person wants less of us, and no other; a new one has to be decided here."""
    persons = {type for type in event_types.TYPES if type.startswith(("contact.", "profile."))}
    less = {type for type in persons if re.search("unsub|bounce|delet|eras|withdr|revoke|opted_out|complain", type)}
    assert less == URGENT_TYPES


ADDRESSES = ("from rules import addresses",)


def test_imports() -> None:
    """The types import pydantic, the standard library, the reader of addresses, each other; the package its finder."""
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                root = name.partition(".")[0]
                known = root in sys.stdlib_module_names or root in ("pydantic", "pydantic_core")
                finder = path.name == "__init__.py" and name == "rules.discovery"
                ours = name.startswith(("rules.event_types", "rules.addresses")) or ast.unparse(node) in ADDRESSES
                assert known or finder or ours, (path.name, name)
