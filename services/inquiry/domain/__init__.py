"""The rules of a case: pure functions and values, without I/O, clock or randomness."""
