"""One outside system, one file: how each platform proves itself and how its bodies are read."""
