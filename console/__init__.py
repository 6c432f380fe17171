"""For people: the `relais` command line, the private HTTP port, and what starts and watches the other processes."""
