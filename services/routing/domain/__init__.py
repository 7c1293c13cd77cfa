"""The rules of dispatch (派单) and of assignments: pure, no I/O, no clock, no random."""
