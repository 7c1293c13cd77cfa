"""The rules of a case: pure, without I/O, clock or chance."""
