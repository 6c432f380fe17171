import pytest
from starlette.routing import Route

from console import catalogue
from console.api import app
from console.api.app import ConsoleSettings
from console.errors import UserError


def test_routes() -> None:
    """No two routes share an address, and what changes something takes POST alone."""
    found = [(route.path, frozenset(route.methods or ())) for route in app.ROUTES]
    assert len(set(found)) == len(found) == 69
    verbs = (
        "retry",
        "drop",
        "release",
        "skip",
        "pause",
        "resume",
        "approve",
        "look",
        "fill",
        "stop",
        "undo",
        "begin",
        "end",
        "hold",
        "discard",
        "accept",
        "find",
        "forget",
        "add",
        "remove",
        "reset",
        "link",
        "undrop",
        "know",
        "mute",
        "unmute",
        "solve",
        "test",
    )
    for path, methods in found:
        if path == "/jobs":
            continue  # GET lists them, POST begins one
        assert methods == (frozenset({"POST"}) if path.endswith(verbs) else frozenset({"GET", "HEAD"})), path
    assert all(isinstance(route, Route) for route in app.ROUTES)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104 - refused
def test_no_token(host: str) -> None:
    """Beyond loopback the console does not start without a token, and says what to set."""
    with pytest.raises(UserError, match=f"would listen on {host} without a token") as refused:
        app.run(ConsoleSettings(console_host=host, console_token=""), catalogue.build())
    assert "RELAIS_CONSOLE_TOKEN" in refused.value.mend


@pytest.mark.parametrize(("token", "guards"), [("", 3), ("swordfish", 2)])
def test_guards(token: str, guards: int) -> None:
    """Names of other hosts are refused only where no token does it; a proxy's path is cut off first."""
    built = app.build_app(ConsoleSettings(console_token=token), catalogue.build())
    assert len(built.user_middleware) == guards
