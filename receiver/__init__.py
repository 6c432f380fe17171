"""Machines in: HTTP -> verified -> typed Events -> the mailroom."""
