"""HTTP in: the API, the pages, the feeds."""
