"""The event contract: one model per type and version. What stands here is promised to others."""
