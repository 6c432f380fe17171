from pathlib import Path

from tests.chaos.processes import StormProcesses
from tests.conftest import wait_until


def test_within() -> None:
    """Processes are started inside what they are told to be in: a network namespace, or here an environment."""
    with StormProcesses() as house:
        house.within = ["env", "HOUSE_WITHIN=here"]
        house.start("store")
        environ = Path(f"/proc/{house.processes['store'].pid}/environ")
        wait_until(lambda: b"HOUSE_WITHIN=here" in environ.read_bytes(), "the store is inside")
