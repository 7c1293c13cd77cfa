"""HTTP in: the API for units' systems and dispatchers, and the two desks."""

from fastapi import APIRouter

from services.routing.policy import Policies
from shared.database import Database
from shared.web.pages import Pages


def build_routers(database: Database, policies: Policies, pages: Pages) -> list[APIRouter]:
    """Everything that routing serves."""
    return []
