"""The private HTTP port: what came, what became of it, and what people decide about it."""
