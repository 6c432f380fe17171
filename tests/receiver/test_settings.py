import pytest
from pydantic import ValidationError

from receiver.settings import ReceiverSettings


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings come from the environment, with the prefix; the store's address without it."""
    monkeypatch.setenv("RELAIS_PORT", "9000")
    monkeypatch.setenv("REDIS_URL", "redis://store.example.org")
    settings = ReceiverSettings()
    assert (settings.port, settings.redis_url) == (9000, "redis://store.example.org")


def test_each_is_described() -> None:
    """Each setting has a sentence for the table of settings."""
    for name, field in ReceiverSettings.model_fields.items():
        assert field.description, name


def test_frozen() -> None:
    """Settings do not change while the process runs."""
    with pytest.raises(ValidationError, match="frozen"):
        ReceiverSettings().port = 1  # type: ignore[misc]
