"""For people: the `relais` command line and the private HTTP port."""
