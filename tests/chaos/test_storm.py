import subprocess
import sys


def test_short_storm() -> None:
    """Twelve seconds of killing, stopping and lying, always the same ones: nothing lost, swapped or doubled."""
    words = ["--seconds", "12", "--seed", "270", "--keys", "60", "--rate", "40", "--patience", "180", "--quiet"]
    done = subprocess.run([sys.executable, "-m", "tests.chaos", *words], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost 0, order inversions 0, effects doubled 0" in done.stdout
    assert "kill" in done.stdout, "a storm that killed nobody"
