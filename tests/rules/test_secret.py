from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from rules import secret
from rules.errors import SecretMissing
from rules.secret import Secret, SecretFiles, SecretUnreadable


class SecretOptions(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    api_key: Secret


def test_resolve() -> None:
    """A reference becomes the environment variable of that name, also inside other text."""
    assert Secret("${TOKEN}").resolve({"TOKEN": "s3cret"}) == "s3cret"
    assert Secret("Bearer ${TOKEN}").resolve({"TOKEN": "s3cret"}) == "Bearer s3cret"
    assert secret.resolve("https://${HOST}/api", {"HOST": "example.org"}) == "https://example.org/api"


def test_resolve_from_file() -> None:
    """A mounted file of that name, or the one that `<NAME>_FILE` names, serves as well."""
    files = {"TOKEN": "from the mount", "/run/secrets/other": "from elsewhere"}
    assert Secret("${TOKEN}").resolve({}, files.get) == "from the mount"
    assert Secret("${OTHER}").resolve({"OTHER_FILE": "/run/secrets/other"}, files.get) == "from elsewhere"


@pytest.mark.parametrize("environ", [{}, {"TOKEN": ""}])
def test_missing(environ: dict[str, str]) -> None:
    """A missing or empty variable is an error that names it: an empty secret would match anybody's."""
    with pytest.raises(SecretMissing) as caught:
        Secret("${TOKEN}").resolve(environ, {"TOKEN": ""}.get)
    assert caught.value.name == "TOKEN"


def test_literal_is_hidden() -> None:
    """A secret in clear is seen neither in repr, nor in str, nor in JSON."""
    options = SecretOptions.model_validate({"api_key": "0a1b2c"})
    assert options.api_key.literal
    for text in (repr(options), str(options.api_key), options.model_dump_json()):
        assert "0a1b2c" not in text
    assert "${TOKEN}" in repr(SecretOptions.model_validate({"api_key": "${TOKEN}"}))


def test_refused_value_is_hidden() -> None:
    """A value of the wrong type is not in the error about it."""
    with pytest.raises(ValidationError) as caught:
        SecretOptions.model_validate({"api_key": 48151623})
    assert "48151623" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"abc\xffgeheim", "is not UTF-8"),
        (b"g" * (secret.LONGEST + 1), "is longer than 65536 bytes"),
        (None, "is no file"),
    ],
)
def test_unreadable_file(tmp_path: Path, content: bytes | None, why: str) -> None:
    """A mounted file that cannot be used counts as missing, and the error says which one and why, not what is in it."""
    path = tmp_path / "TOKEN"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(SecretMissing) as caught:
        Secret("${TOKEN}").resolve({}, SecretFiles(tmp_path))
    assert caught.value.why == f"{path} {why}"
    assert f"the secret TOKEN has no value: {path} {why}: set the environment variable TOKEN" in str(caught.value)
    assert "geheim" not in str(caught.value)
    with pytest.raises(SecretUnreadable) as unreadable:
        SecretFiles(tmp_path)("TOKEN")
    # The error of the decoder carries the bytes: whoever reports exceptions with their causes would tell them.
    assert unreadable.value.__cause__ is None
    assert unreadable.value.__suppress_context__ or unreadable.value.__context__ is None


def test_unreadable_and_elsewhere(tmp_path: Path) -> None:
    """Where both files cannot be used the last one's reason is given; without a file there is none."""
    (tmp_path / "TOKEN").mkdir()
    (tmp_path / "other").write_bytes(b"\xff")
    with pytest.raises(SecretMissing, match="other is not UTF-8"):
        Secret("${TOKEN}").resolve({"TOKEN_FILE": "other"}, SecretFiles(tmp_path))
    with pytest.raises(SecretMissing, match="is not set"):
        Secret("${NOTHING}").resolve({}, SecretFiles(tmp_path))


def test_without_a_folder(tmp_path: Path) -> None:
    """Where no folder of secrets is given, only whole paths lead to files."""
    (tmp_path / "TOKEN").write_text("abc\n")
    assert SecretFiles(None)("TOKEN") is None
    assert SecretFiles(None)(str(tmp_path / "TOKEN")) == "abc"
