"""Tools over a compiled book: its tests, explanations of an event, previews of a new book."""
