"""audit: the tamper-evident log and all that is read from it."""
