"""The unit of work: locked aggregates, events, timers and idempotency keys in one transaction."""
