"""HTTP in: API, pages and feeds."""
