"""Outgoing messages: the delivery ledger, rendering, the mail and webhook lanes, and their workers."""
