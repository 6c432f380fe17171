"""What the book need not say of a known platform: a few lines of YAML each, beside the sources.

Comes in: the files of `sources/presets`. Goes out: a Preset by its name, with the vendor's pages it was written by.
Never holds a secret: that is what the book says.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict


class Preset(BaseModel):
    """What a source of one platform says, unless the book says otherwise."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    about: str
    #: The vendor's pages.
    pages: tuple[str, ...]
    #: Of the vendor's behaviour: what its pages say, what was concluded, and what nobody says.
    documented: str
    inferred: str
    unknown: str
    #: The keys of a source.
    source: Mapping[str, Any]


@cache
def read_presets() -> Mapping[str, Preset]:
    """Return every preset by its name."""
    folder = resources.files("receiver.sources").joinpath("presets")
    files = sorted((each for each in folder.iterdir() if each.name.endswith(".yaml")), key=lambda each: each.name)
    return {
        each.name.removesuffix(".yaml"): Preset.model_validate(yaml.safe_load(each.read_text(encoding="utf-8")))
        for each in files
    }


def find_sources() -> Mapping[str, Mapping[str, Any]]:
    """Return what a source says, by the name of its preset."""
    return {name: preset.source for name, preset in read_presets().items()}
