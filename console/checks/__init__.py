"""What is amiss with the store, the spool and this host, in words."""
