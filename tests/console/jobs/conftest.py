"""A mailroom on a store that keeps nothing on disk, emptied before each test."""

from tests.console.access.conftest import mailroom

__all__ = ["mailroom"]
