"""routing decides which units hold a case: dispatch, assignments, the units' topics, the desks."""
