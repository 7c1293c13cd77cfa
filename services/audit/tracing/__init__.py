"""Traces (链路) from the log: every event is a span, its cause is the parent."""
