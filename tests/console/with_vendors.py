"""`relais` that also knows the sources and destinations in the folders that VENDORS names."""

import os
from pathlib import Path

from console import cli
from receiver import sources
from workers import destinations


def main() -> None:
    """Find them, then be `relais`."""
    folder = Path(os.environ["VENDORS"])
    sources.SOURCES = sources.find(str(folder / "sources"))
    destinations.DESTINATIONS = destinations.find(str(folder / "destinations"))
    cli.main()


if __name__ == "__main__":
    main()
