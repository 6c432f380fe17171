from io import StringIO

import click
import pytest

from console.errors import CANNOT_RUN, SAID_NO, USAGE, UserError


def shown(error: UserError) -> str:
    out = StringIO()
    error.show(out)
    return click.unstyle(out.getvalue())


def test_show() -> None:
    """What is wrong stands on one line, each mend on one of its own; a second way begins with `or`."""
    error = UserError("port 80 is taken", mend="stop that\nor take another: --port 81\nwhich is free")
    assert shown(error) == (
        "error: port 80 is taken\n mend: stop that\n   or: take another: --port 81\n       which is free\n"
    )


def test_without_a_mend() -> None:
    """Where nobody knows a mend, none is printed."""
    assert shown(UserError("it is broken")) == "error: it is broken\n"


@pytest.mark.parametrize(("more", "status"), [({}, 3), ({"status": SAID_NO}, 1), ({"status": USAGE}, 2)])
def test_status(more: dict[str, int], status: int) -> None:
    """The exit status is that of something that could not run, unless the answer is no."""
    assert UserError("x", **more).exit_code == status  # type: ignore[arg-type]
    assert CANNOT_RUN == 3
