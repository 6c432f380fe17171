"""The private HTTP port: one module per group of routes, JSON for the commands and text for Prometheus."""
