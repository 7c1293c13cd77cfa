"""Wires the service: what it reads, serves and fires."""

from functools import partial

from services.inquiry.casework import Casework
from services.inquiry.config import InquirySettings, secret_key
from services.inquiry.handlers import handlers, timers
from services.inquiry.http.access import Access
from services.inquiry.http.ask_pages import ask_pages
from services.inquiry.http.case_api import case_api
from services.inquiry.http.clerk_pages import clerk_pages
from services.inquiry.http.contact_pages import contact_pages
from services.inquiry.http.open_api import open_api
from services.inquiry.http.staff_api import staff_api
from services.inquiry.http.track_pages import track_pages
from services.inquiry.intake import Intake
from services.inquiry.reception import Reception
from shared.packs import Packs
from shared.service import Parts
from shared.unit_of_work.database import Database
from shared.web.pages import Pages
from shared.web.signin import signin_router


async def build(database: Database, settings: InquirySettings) -> Parts:
    """The parts of inquiry on an open database. Raises PolicyError for a bad pack."""
    policies = await Packs.open(database.pool, settings)
    intake = Intake(policies, secret_key(settings))
    casework = Casework(database, policies, intake, Reception(database, intake))
    access = Access.of(database, settings)
    pages = Pages("services.inquiry")
    return Parts(
        title="Inquiry",
        routers=[
            open_api(casework, plain_http=settings.allow_private_webhooks),
            staff_api(casework, access),
            case_api(casework, access),
            ask_pages(casework, access, pages),
            track_pages(casework, access, pages),
            clerk_pages(casework, access, pages),
            contact_pages(casework, access, pages),
            signin_router(settings),
        ],
        handlers=handlers(policies),
        topics=["routing"],
        register_timers=partial(timers, policies),
        pages=pages,
    )
