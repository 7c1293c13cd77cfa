"""HTTP in: the API for units' systems and dispatchers, the units' desk and the dispatchers' queue."""

from services.routing.http import api, desk, dispatch

ROUTERS = (api.router, desk.router, dispatch.router)
"""All routes of routing."""
