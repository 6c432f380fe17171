import asyncio
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from rules.secret import Secret
from tests.workers.destinations.conftest import InMemory
from workers.destinations import base
from workers.destinations.base import Attempt, Base, DestinationOptions, Email, Id
from workers.http import Http
from workers.outcome import Failed


def test_snake_keys() -> None:
    """Names change at every depth, values at none."""
    assert base.rename_keys({"aB": [{"cD": "eF"}, None, 1]}) == {"a_b": [{"c_d": "eF"}, None, 1]}


@pytest.mark.parametrize(
    ("path", "found"), [("a.b", 1), ("a", {"b": 1}), ("", {"a": {"b": 1}}), ("a.c", None), ("a.b.c", None), ("x", None)]
)
def test_dig(path: str, found: Any) -> None:
    """A dotted path leads into JSON, or nowhere."""
    assert base.dig({"a": {"b": 1}}, path) == found


def test_given() -> None:
    """Null is left out; false, zero and the empty text are values."""
    assert base.drop_nulls({"a": None, "b": False, "c": 0, "d": ""}) == {"b": False, "c": 0, "d": ""}


def test_email() -> None:
    """An address is compared without space around it and without capital letters."""
    assert TypeAdapter(Email).validate_python(" Eva@Example.ORG ") == "eva@example.org"


def test_id() -> None:
    """A number is as good as a text, a truth value is no id."""
    of: TypeAdapter[str] = TypeAdapter(Id)
    assert of.validate_python(4711) == of.validate_python(4711.0) == of.validate_python("4711") == "4711"
    for wrong in (True, "", " ", 1.5, None):
        with pytest.raises(ValidationError):
            of.validate_python(wrong)


@pytest.mark.parametrize("text", ["https://crm.example.org/api/", "http://127.0.0.1:8030/crm", "${CRM_URL}/api"])
def test_base(text: str) -> None:
    """An address or a reference to one is a base; a slash at its end says nothing."""
    assert TypeAdapter(Base).validate_python(text) == text.rstrip("/")


def test_open_base() -> None:
    """A base may be a reference; what it leads to must be an address, and is not told when it is none."""
    environ = {"CRM_URL": "https://crm.example.org/", "WRONG": "crm.example.org:s3cret"}

    def reveal(secret: Secret) -> str:
        return secret.resolve(environ)

    assert base.open_base("${CRM_URL}", reveal) == "https://crm.example.org"
    with pytest.raises(ValueError, match="must be an address") as caught:
        base.open_base("${WRONG}", reveal)
    assert "s3cret" not in str(caught.value)


def test_absent() -> None:
    """What the sandbox does not imitate is refused for good, and says that nothing was sent."""
    unsent: list[bool] = []

    async def main() -> None:
        async with Http() as http:
            client = base.AbsentClient("erp", DestinationOptions(), lambda secret: "", http, InMemory())
            await client.deliver("add_note", None, Attempt("d1", unsent=lambda: unsent.append(True)))

    with pytest.raises(Failed) as caught:
        asyncio.run(main())
    assert (caught.value.failure, caught.value.code, unsent) == ("permanent", "no_stand_in", [True])
