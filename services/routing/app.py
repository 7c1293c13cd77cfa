"""The only file that wires: packs, handlers, timers and routes of routing into one service."""

import re

from services.routing import deliveries
from services.routing.commands import Commands
from services.routing.handlers import build_handlers
from services.routing.http import ROUTERS
from services.routing.http.context import Context
from services.routing.timers import register_timers
from shared.packs import Packs
from shared.service import Parts
from shared.settings import CoreSettings
from shared.unit_of_work.database import Database
from shared.web.pages import Pages


async def build(database: Database, settings: CoreSettings) -> Parts:
    """The parts of routing. Raises PolicyError if the folder of the pack cannot be used."""
    packs = await Packs.open(database, settings)
    pages = Pages("services.routing")
    return Parts(
        title="Civicloom routing",
        routers=ROUTERS,
        handlers=build_handlers(packs),
        topics=("inquiry",),
        pattern=actions_pattern(settings.topic_namespace),
        register_timers=lambda timers: register_timers(timers, packs),
        on_delivered=deliveries.on_delivered,
        delivery_lock=deliveries.aggregate_of,
        pages=pages,
        context=Context(database, packs, Commands(database, packs), pages),
    )


def actions_pattern(namespace: str) -> str:
    """A regular expression over topic names: the actions of every unit, whichever units there are."""
    return rf"^{re.escape(namespace)}\.department\.[a-z0-9-]+\.actions\.v1$"
