"""The same webhooks through other tools, each set up as its documentation advises for this job."""
