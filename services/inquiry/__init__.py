"""inquiry: the case from intake to evaluation, its clock, and the citizen's own data."""
