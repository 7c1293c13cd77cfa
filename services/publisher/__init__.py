"""Publications, subscriptions, pushes to subscribers, and notices about a case."""
