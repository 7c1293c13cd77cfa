"""The four services and the command line; they know each other only through events."""
