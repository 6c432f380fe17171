"""From the files of a book to a Rulebook, or to a list of problems with file, line and mend."""
