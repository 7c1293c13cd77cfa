"""The web edge that every service shares: application, problems, people and machines, pages, streams."""
