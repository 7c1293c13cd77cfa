"""The transactional inbox: consumers apply events exactly once, in order per key."""
