"""Finds what each file of a folder declares, so that a new file needs no list of names.

Comes in: a package, the folders in which its modules lie, and the name that each module binds. Goes out: what the
modules bound to it, in the order of their names. Never passes over a file in silence: a module that cannot be
imported or declares nothing is an error, and so are two modules of one name.
"""

import importlib.util
import pkgutil
import sys
from collections.abc import Collection, Iterable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TypeVar

Declared = TypeVar("Declared")


def discover(
    package: str, folders: Iterable[str], attribute: str, kind: type[Declared], *, helpers: Collection[str] = ()
) -> list[Declared]:
    """Import each module of the folders as a module of the package and return what it binds to `attribute`.

    Left out: names that begin with an underscore, `base`, and `helpers`, which the others share. Raises ImportError
    for what declares nothing, and whatever a module raises while it is imported.
    """
    found: dict[str, Declared] = {}
    for folder in folders:
        for finder, name, _ in sorted(pkgutil.iter_modules([folder]), key=lambda each: each.name):
            if name.startswith("_") or name == "base" or name in helpers:
                continue
            if name in found:
                raise ImportError(f"{package} has two modules named {name}; one of them is in {folder}")
            declared = getattr(_load(f"{package}.{name}", finder.find_spec(f"{package}.{name}", None)), attribute, None)
            if not isinstance(declared, kind):
                raise ImportError(f"{package}.{name} in {folder} must bind {attribute} to a {kind.__name__}")
            found[name] = declared
    return list(found.values())


def _load(name: str, spec: ModuleSpec | None) -> ModuleType:
    """Return a module, imported once. Its folder need not be on the path of the package."""
    if (known := sys.modules.get(name)) is not None:
        return known
    if spec is None or spec.loader is None:
        raise ImportError(f"{name} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
