"""The text of a book: YAML read the strict way, each value with its place, and what is wrong with it."""
