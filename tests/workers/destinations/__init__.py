"""Tests of the destinations: against the sandbox, and against servers that misbehave byte by byte."""
