"""Helpers for tests, benchmarks and drills; nothing in a service imports this."""
