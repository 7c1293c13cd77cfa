"""The only file that wires: policies, handlers, pages and timers of routing into one service."""

import re

from services.routing import deliveries, strays
from services.routing.handlers import build_handlers
from services.routing.http import build_routers
from services.routing.policy import Policies
from shared.service import Parts
from shared.settings import CoreSettings
from shared.unit_of_work.database import Database
from shared.web.pages import Pages


async def build(database: Database, settings: CoreSettings) -> Parts:
    """The parts of routing. Raises PolicyError if the folder of the pack cannot be used."""
    policies = await Policies.open(database.pool, settings)
    pages = Pages("services.routing")
    return Parts(
        title="Civicloom routing",
        routers=build_routers(database, policies, pages),
        handlers=build_handlers(policies),
        topics=("inquiry",),
        pattern=actions_pattern(settings.topic_namespace),
        register_timers=lambda timers: strays.register(timers, policies),
        on_delivered=deliveries.on_delivered,
        delivery_lock=deliveries.touched_by,
        pages=pages,
    )


def actions_pattern(namespace: str) -> str:
    """The regular expression that finds what every unit answers, whichever units there are."""
    return rf"^{re.escape(namespace)}\.department\.[a-z0-9-]+\.actions\.v1$"
