"""More than one machine: links that are cut, primaries that die, and what is left of the promise."""
