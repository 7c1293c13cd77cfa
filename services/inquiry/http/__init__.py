"""HTTP in: the API, and the pages of citizens and clerks."""
