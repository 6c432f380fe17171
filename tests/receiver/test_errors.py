import ast
import json
from pathlib import Path

import receiver
from receiver import errors

FOLDER = Path(receiver.__file__).parent


def test_every_code_is_listed() -> None:
    """The head of the module lists every code that the receiver answers with, and no other."""
    raised = set()
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in {each.__name__ for each in classes()} - {"Invalid"}:
                raised.add(node.args[0].value)
    head = (errors.__doc__ or "").partition("The code is")[0]
    listed = {word.strip(" ,\n") for word in head.split() if "_" in word or word.strip(",") in ("busy", "internal")}
    assert raised == {word.strip(",") for word in listed}


def classes() -> list[type[errors.RequestRefused]]:
    return [errors.RequestRefused, *errors.RequestRefused.__subclasses__(), *errors.TooSlow.__subclasses__()]


def test_answers() -> None:
    """A refusal's answer is its code and a hint; an invalid one names the field of its own."""
    assert json.loads(errors.NotFound("unknown_source", "why").answer) == {"error": "unknown_source", "hint": "why"}
    assert json.loads(errors.Invalid("booker.id", "is missing").answer) == {
        "error": "invalid",
        "field": "booker.id",
        "hint": "booker.id: is missing",
    }


def test_heads() -> None:
    """The head of an answer says what the sender needs: when to come again, how to prove itself, what is allowed."""
    assert int(errors.NotKept("busy", "").headers["retry-after"]) > 0
    assert errors.Unverified("wrong_signature", "").headers["www-authenticate"].startswith("Basic")
    assert errors.NotAllowed("method_not_allowed", "").headers["allow"] == "POST"
    assert errors.TooLarge("too_large", "").headers["connection"] == "close"
