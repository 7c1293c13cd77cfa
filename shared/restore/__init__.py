"""Brings a service whose database came from a backup back to what it had said on its topics."""
