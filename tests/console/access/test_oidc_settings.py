import os
import subprocess
import sys
from pathlib import Path

import pytest

from console import settings
from console.access import oidc_settings
from console.access.oidc_settings import OidcSettings
from console.errors import UserError

GOOD = {"RELAIS_OIDC_ISSUER": "https://idp.example.org/realms/x", "RELAIS_OIDC_CLIENT": "relais"}
GOOD |= {"RELAIS_OIDC_ROLES": "operator = support ; admin=it;rules=it; payloads=CN=a, O=b;"}


def load(monkeypatch: pytest.MonkeyPatch, **other: str) -> OidcSettings:
    for name, value in {**GOOD, **other}.items():
        monkeypatch.setenv(name, value)
    return settings.load(OidcSettings)


def test_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Roles are read as pairs of role and group; a group may hold blanks, commas and equals signs."""
    assert load(monkeypatch).roles == {"support": {"operator"}, "it": {"admin", "rules"}, "CN=a, O=b": {"payloads"}}


def test_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Domains stand between commas or blanks, in letters of any size."""
    assert load(monkeypatch).domains == frozenset()
    assert load(monkeypatch, RELAIS_OIDC_DOMAINS="example.org,Example.com  x.example").domains == {
        "example.org",
        "example.com",
        "x.example",
    }


@pytest.mark.parametrize("issuer", ["", "https://idp.example.org", "http://localhost:8080/realms/x", "http://[::1]:1"])
def test_issuers(issuer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An issuer is an https address, or plain HTTP on this machine."""
    assert load(monkeypatch, RELAIS_OIDC_ISSUER=issuer).oidc_issuer == issuer


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RELAIS_OIDC_ISSUER", "http://idp.example.org"),
        ("RELAIS_OIDC_ISSUER", "http://127.0.0.1.example.org"),
        ("RELAIS_OIDC_ISSUER", "https://"),
        ("RELAIS_OIDC_ISSUER", "https://user:pass@idp.example.org"),
        ("RELAIS_OIDC_ISSUER", "https://idp.example.org#x"),
        ("RELAIS_OIDC_ISSUER", "https://[idp"),
        ("RELAIS_OIDC_ISSUER", "idp.example.org"),
        ("RELAIS_OIDC_REDIRECT", "http://relais.example.org/ui/sso/back"),
        ("RELAIS_OIDC_CLIENT", ""),
        ("RELAIS_OIDC_ROLES", ""),
        ("RELAIS_OIDC_ROLES", "boss=it"),
        ("RELAIS_OIDC_ROLES", "admin"),
        ("RELAIS_OIDC_ROLES", "admin="),
        ("RELAIS_OIDC_GROUPS", ""),
        ("RELAIS_OIDC_SCOPES", "profile email"),
    ],
)
def test_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot work is refused by the name of its variable."""
    with pytest.raises(UserError, match=f"the setting {name} (cannot be|must not be empty)"):
        load(monkeypatch, **{name: value})


def test_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The secret comes from the environment or from a mounted file, as those of a book do."""
    chosen = load(monkeypatch)
    monkeypatch.setenv("RELAIS_SECRETS", str(tmp_path))
    monkeypatch.delenv("OIDC_CLIENT_SECRET", raising=False)
    with pytest.raises(UserError, match="needs the client's secret") as refused:
        oidc_settings.demand(chosen)
    assert "OIDC_CLIENT_SECRET" in refused.value.mend
    (tmp_path / "OIDC_CLIENT_SECRET").write_text("mounted\n")
    assert oidc_settings.read_secret() == "mounted"
    oidc_settings.demand(chosen)
    monkeypatch.setenv("OIDC_CLIENT_SECRET", "given")
    assert oidc_settings.read_secret() == "given"


def test_packages_that_are_not_there() -> None:
    """Who asks for single sign-on without the extra is told at the start, with the mend: status 3."""
    program = "import sys; sys.modules['authlib'] = None; from console import cli; cli.main()"
    environ = {**os.environ, **GOOD, "REDIS_URL": "redis://127.0.0.1:1", "OIDC_CLIENT_SECRET": "x"}
    done = subprocess.run([sys.executable, "-c", program, "console"], env=environ, capture_output=True, text=True)
    assert (done.returncode, "pip install 'relais-router[oidc]'" in done.stderr) == (3, True), done.stderr


def test_off() -> None:
    """Without single sign-on no process imports what it needs."""
    program = (
        "import sys; from console.api import app; from console.commands import doctor; from console.web import entry\n"
        "print([name for name in sys.modules if name.startswith(('authlib', 'joserfc', 'console.access.oidc.'))])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"
    oidc_settings.demand(OidcSettings())
