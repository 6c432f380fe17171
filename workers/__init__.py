"""Machines out: the mailroom -> rules -> destinations."""
