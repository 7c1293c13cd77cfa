"""routing: who holds a case. Dispatch, assignments, the units' topics, the desks."""
