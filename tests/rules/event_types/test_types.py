import ast
import sys
from pathlib import Path

import pytest

from rules import event_types
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


def test_imports() -> None:
    """The event types import pydantic, the standard library and each other; their package also what finds them."""
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                root = name.partition(".")[0]
                known = root in sys.stdlib_module_names or root in ("pydantic", "pydantic_core")
                finder = path.name == "__init__.py" and name == "rules.discovery"
                assert known or finder or name.startswith("rules.event_types"), (path.name, name)
