"""The rules of publisher: no I/O, no clock, no random."""
