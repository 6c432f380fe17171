"""Checks of the store, the spool and this host, for `relais doctor`, `/readyz` and the start of a receiver."""
