"""The text of a book: strict YAML whose values know their line and column, and the problems found in it."""
