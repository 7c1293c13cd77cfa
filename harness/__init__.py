"""Helpers for tests, benchmarks and drills; no service imports them."""
