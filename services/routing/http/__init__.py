"""HTTP in: the API for units' systems and dispatchers, and the two desks."""

from fastapi import APIRouter

from services.routing.http.api import build_api
from services.routing.http.desk import build_desk
from services.routing.http.dispatch import build_dispatch
from services.routing.policy import Policies
from shared.unit_of_work.database import Database
from shared.web.pages import Pages


def build_routers(database: Database, policies: Policies, pages: Pages) -> list[APIRouter]:
    """Everything that routing serves."""
    return [
        build_api(database, policies),
        build_desk(database, policies, pages),
        build_dispatch(database, policies, pages),
    ]
