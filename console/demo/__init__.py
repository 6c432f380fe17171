"""The demo: all of Relais, stand-ins for the vendors, and webhooks of invented people."""
