"""Tests against a real Tryton 8: a CRM and an accounting system that was not written to please us."""
