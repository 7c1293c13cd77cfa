"""A trace (链路) out of what the log knows: every event is a span, its cause is the parent."""
