"""Stand-ins for the vendors' APIs, each behaving as its documentation says."""
