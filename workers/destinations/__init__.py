"""One outside system, one file: the actions of each destination and how they are carried out."""
