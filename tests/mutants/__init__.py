"""Faults planted in the product, to see whether its tests notice: `python -m tests.mutants`."""
