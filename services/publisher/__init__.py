"""The government's voice: publications, subscriptions, pushes, and notices about a case."""
