"""What people run over a compiled book: tests, explain, preview."""
