"""What the commands print: tables and trees, as wide as the terminal."""
