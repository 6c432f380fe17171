"""Imitations of the vendors' APIs, each behaving as the vendor's documentation says."""
