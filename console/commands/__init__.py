"""The commands of `relais`, one small function in a module of its own each."""
