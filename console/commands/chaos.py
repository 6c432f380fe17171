"""`relais chaos`: the storm of `tests/chaos`, run from a checkout; the tests are no part of the installed package."""

import subprocess
import sys
from pathlib import Path

import click

from console.errors import UserError

#: Where this program lies: with its tests beside it, or among installed packages.
HOME = Path(__file__).resolve().parents[2]


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), default=120, show_default=True, help="How long it blows.")
@click.option("--seed", type=int, help="The same seed makes the same schedule; drawn and printed unless given.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON; what happens goes to stderr.")
def command(seconds: float, seed: int | None, as_json: bool) -> None:
    """Kill, stop and mislead every process under load, then check that nothing was lost.

    Starts receiver, workers and Valkey of its own on this machine, in a folder that it removes, and never touches
    yours. Prints seed and verdict; status 1 when a promise was broken. Needs a checkout with its tests.

    \b
    Examples:
      relais chaos
      relais chaos --seconds 30 --seed 65
      relais chaos --json
    """
    if not (HOME / "tests" / "chaos" / "__main__.py").is_file():
        raise UserError(
            f"this Relais lies in {HOME} without its tests, and the storm is one of them",
            mend="run it in a checkout of the repository: make chaos",
        )
    words = ["--seconds", str(seconds)]
    words += [] if seed is None else ["--seed", str(seed)]
    words += ["--json"] if as_json else []
    done = subprocess.run([sys.executable, "-m", "tests.chaos", *words], cwd=HOME, check=False)  # noqa: S603
    raise click.exceptions.Exit(done.returncode)
