"""Wires the service: what it reads, serves and fires."""

from functools import partial

from services.inquiry.commands import CaseCommands
from services.inquiry.config import InquirySettings, secret_key
from services.inquiry.handlers import build_handlers
from services.inquiry.http.access import Access
from services.inquiry.http.ask_pages import ask_pages
from services.inquiry.http.case_api import case_api
from services.inquiry.http.clerk_pages import clerk_pages
from services.inquiry.http.contact_pages import contact_pages
from services.inquiry.http.open_api import open_api
from services.inquiry.http.staff_api import staff_api
from services.inquiry.http.track_pages import track_pages
from services.inquiry.intake import Intake
from services.inquiry.intake_batcher import IntakeBatcher
from services.inquiry.timers import register_timers
from shared.packs import Packs
from shared.service import Parts
from shared.settings import CoreSettings
from shared.unit_of_work.database import Database
from shared.web.pages import Pages
from shared.web.settings import WebSettings
from shared.web.signin import signin_router


async def build(database: Database, settings: CoreSettings) -> Parts:
    """The parts of inquiry on an open database. Raises PolicyError for a bad pack."""
    policies = await Packs.open(database.pool, settings)
    intake = Intake(policies, secret_key(settings))
    commands = CaseCommands(database, policies, intake, IntakeBatcher(database, intake))
    access = Access.of(database, settings)
    pages = Pages("services.inquiry")
    return Parts(
        title="Inquiry",
        routers=[
            open_api(commands, plain_http=InquirySettings().allow_private_webhooks),
            staff_api(commands, access),
            case_api(commands, access),
            ask_pages(commands, access, pages),
            track_pages(commands, access, pages),
            clerk_pages(commands, access, pages),
            contact_pages(commands, access, pages),
            signin_router(WebSettings()),
        ],
        handlers=build_handlers(policies),
        topics=["routing"],
        register_timers=partial(register_timers, policies),
        pages=pages,
    )
