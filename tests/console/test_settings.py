import logging
from pathlib import Path

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from console import settings
from console.api.app import ConsoleSettings
from console.errors import UserError
from console.settings import Setting

ROOT = Path(__file__).parents[2]
EVERY = settings.every()


class Example(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="RELAIS_", frozen=True, hide_input_in_errors=True)

    port: int = Field(8080, description="Port to listen on.")
    token: SecretStr = Field(SecretStr(""), description="A secret.")
    redis_url: str = Field("redis://localhost", validation_alias="REDIS_URL", description="The store.")


@pytest.mark.parametrize("setting", EVERY, ids=[setting.variable for setting in EVERY])
def test_settings_are_documented(setting: Setting) -> None:
    """Every setting has a sentence, who reads it, and a line in `.env.example`."""
    assert setting.about
    assert setting.processes
    assert f"{setting.variable}=" in (ROOT / ".env.example").read_text()


def test_secrets_are_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed at start has stars for secrets, also inside addresses."""
    monkeypatch.setenv("RELAIS_TOKEN", "swordfish")
    monkeypatch.setenv("REDIS_URL", "rediss://me:swordfish@store.example.org:6380/1")
    said = list(settings.describe(settings.load(Example)))
    assert said == ["RELAIS_PORT=8080", "RELAIS_TOKEN=***", "REDIS_URL=rediss://me:***@store.example.org:6380/1"]


def test_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that cannot be is refused by the name of its variable, without its value."""
    monkeypatch.setenv("RELAIS_PORT", "swordfish")
    with pytest.raises(UserError, match="the setting RELAIS_PORT must be a whole number") as refused:
        settings.load(Example)
    assert "swordfish" not in refused.value.message + refused.value.mend
    assert refused.value.mend == "Port to listen on."


@pytest.mark.parametrize("url", ["nonsense", "redis://me:sword/fish@store:6379", "http://store", "redis://store:x"])
def test_no_store(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that can be no store is refused before anything starts, without a part of its password."""
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(UserError, match="the setting REDIS_URL cannot be") as refused:
        settings.load(Example)
    assert "sword" not in refused.value.message
    assert "%2F" in refused.value.mend


def test_the_command_line_counts_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option given on the command line counts more than the environment; one not given says nothing."""
    monkeypatch.setenv("RELAIS_PORT", "1")
    assert settings.load(Example, port=2).port == 2
    assert settings.load(Example, port=None).port == 1


def test_several_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where several settings cannot be, the first is named and the others are counted."""
    monkeypatch.setenv("RELAIS_CONSOLE_PORT", "many")
    monkeypatch.setenv("RELAIS_STRICT", "very")
    with pytest.raises(UserError, match=r"the setting RELAIS_CONSOLE_PORT must be .* \(and 1 more\)$"):
        settings.load(ConsoleSettings)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, ""),
        (SecretStr(""), ""),
        (SecretStr("x"), "***"),
        ("plain", "plain"),
        ("redis+sentinel://h:1?password=swordfish&db=1", "redis+sentinel://h:1?password=***&db=1"),
        ("redis://h:1?db=1&sentinel_password=swordfish", "redis://h:1?db=1&sentinel_password=***"),
        ("redis://:swordfish@h:1", "redis://:***@h:1"),
        ("redis://h:1/0", "redis://h:1/0"),
    ],
)
def test_covered(value: object, said: str) -> None:
    """A secret is covered wherever it stands in an address; an empty one is seen to be empty."""
    assert settings.covered(value) == said


def test_announce(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A process says first what it runs with, on stderr, and logs from then on as it was told."""
    monkeypatch.setenv("RELAIS_TOKEN", "swordfish")
    monkeypatch.setenv("RELAIS_LOG_LEVEL", "ERROR")
    before = logging.root.level, logging.root.handlers[:]
    try:
        settings.announce("receive", settings.load(Example))
        assert logging.root.level == logging.ERROR
    finally:
        logging.root.level, logging.root.handlers[:] = before
    said = capsys.readouterr()
    assert said.err == "relais receive runs with RELAIS_PORT=8080 RELAIS_TOKEN=*** REDIS_URL=redis://localhost\n"
    assert said.out == ""


def test_what_the_sandbox_set_is_told() -> None:
    """Whoever asks a sandbox of this folder has not said its store: neither the shell nor `.env` has."""
    environ = {"REDIS_URL": "", "RELAIS_PORT": "8090"}
    found = {one.variable: one.origin for one in settings.effective(environ, {"RELAIS_PORT": "8090"}, {"REDIS_URL"})}
    assert (found["REDIS_URL"], found["RELAIS_PORT"], found["RELAIS_HOST"]) == ("sandbox", ".env", "default")


def test_effective() -> None:
    """Each setting's value here and where it comes from, stars for a secret, and what nobody reads."""
    environ = {"RELAIS_PORT": "1", "RELAIS_CONSOLE_TOKEN": "swordfish", "RELAIS_PROT": "2", "RELAIS_X": "", "HOME": "/"}
    found = {one.variable: one for one in settings.effective(environ, {"RELAIS_PORT": "1", "RELAIS_X": "old"})}
    assert (found["RELAIS_PORT"].value, found["RELAIS_PORT"].origin) == ("1", ".env")
    assert (found["RELAIS_CONSOLE_TOKEN"].value, found["RELAIS_CONSOLE_TOKEN"].origin) == ("***", "environment")
    assert (found["RELAIS_CONSOLE_PORT"].value, found["RELAIS_CONSOLE_PORT"].origin) == ("8081", "default")
    assert found["RELAIS_PROT"].mistake == 'nobody reads it; did you mean "RELAIS_PORT"?'
    assert (found["RELAIS_X"].mistake, found["RELAIS_X"].origin) == ("nobody reads it", "environment")
    assert {setting.variable for setting in EVERY} == found.keys() - {"RELAIS_PROT", "RELAIS_X"}
