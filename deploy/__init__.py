"""Deployment: containers, topics, alerts, and the local run without containers."""
