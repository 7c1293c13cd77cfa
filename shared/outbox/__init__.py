"""The transactional outbox: the relay publishes what units of work have written."""
