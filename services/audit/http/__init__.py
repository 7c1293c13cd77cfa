"""HTTP of audit: the public log, and what only oversight staff may read."""
