"""Wires the service: what it reads, serves and fires."""

from functools import partial

from services.inquiry.commands import CaseCommands
from services.inquiry.config import InquirySettings, secret_key
from services.inquiry.handlers import build_handlers
from services.inquiry.http import (
    ask_pages,
    case_api,
    clerk_pages,
    contact_pages,
    open_api,
    staff_api,
    track_pages,
)
from services.inquiry.http.access import Access
from services.inquiry.http.context import Context
from services.inquiry.intake import Intake
from services.inquiry.intake_batcher import IntakeBatcher
from services.inquiry.timers import register_timers
from shared.packs import Packs
from shared.service import Parts
from shared.unit_of_work.database import Database
from shared.web import signin
from shared.web.pages import Pages


async def build(database: Database, settings: InquirySettings) -> Parts:
    """The parts of inquiry on an open database. Raises PolicyError for a bad pack."""
    policies = await Packs.open(database, settings)
    intake = Intake(policies, secret_key(settings))
    pages = Pages("services.inquiry")
    return Parts(
        title="Inquiry",
        routers=[
            open_api.router,
            staff_api.router,
            case_api.router,
            ask_pages.router,
            track_pages.router,
            clerk_pages.router,
            contact_pages.router,
            signin.router,
        ],
        handlers=build_handlers(policies),
        topics=["routing"],
        patience=0.2,  # a timeline is read by people
        register_timers=partial(register_timers, policies),
        pages=pages,
        context=Context(
            database=database,
            policies=policies,
            intake=intake,
            intake_batcher=IntakeBatcher(database, intake),
            commands=CaseCommands(database, policies),
            access=Access.of(database, settings),
            pages=pages,
            plain_http_webhooks=settings.allow_private_webhooks,
        ),
    )
