"""The rules of the publisher: no I/O, no clock, no random."""
