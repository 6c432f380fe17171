"""`make model`: search the large setups and print what was seen. A part of a name picks those that contain it."""

import sys
import time

from tests.model.checks import LARGE, SMALL


def main(parts: list[str]) -> int:
    """Search; return 1 if something is wrong."""
    failed = 0
    for check in (*SMALL, *LARGE):
        if parts and not any(part in check.name for part in parts):
            continue
        began = time.monotonic()
        verdict = check.run()
        print(f"{check.name}: {verdict} ({time.monotonic() - began:.1f} s)", flush=True)
        failed += bool(verdict.wrong)
    print("The models hold." if not failed else f"{failed} of them do not hold: see docs/model.md.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
