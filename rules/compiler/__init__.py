"""Compiles the files of a book into a Rulebook, or a list of problems with file, line and how to mend them."""
