"""The rule language: an Event in, Actions out. Pure: no Redis, no HTTP, no clock."""
