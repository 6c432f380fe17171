"""Does an event match: the conditions under `when:`, over the paths and types of its fields."""
