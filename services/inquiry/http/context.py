"""What the routes of inquiry work with; the application keeps it in `app.state.context`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from services.inquiry.commands import CaseCommands
from services.inquiry.http.access import Access
from services.inquiry.intake import Intake
from services.inquiry.intake_batcher import IntakeBatcher
from shared.packs import Packs
from shared.unit_of_work.database import Database
from shared.web.callers import require
from shared.web.pages import Pages
from shared.web.session import Person


@dataclass(frozen=True, slots=True)
class Context:
    """One per process. `plain_http_webhooks` is on where a contact may name a webhook without TLS."""

    database: Database
    policies: Packs
    intake: Intake
    intake_batcher: IntakeBatcher
    commands: CaseCommands
    access: Access
    pages: Pages
    plain_http_webhooks: bool


# A coroutine, because FastAPI calls a plain function in a thread: a hop per request for an attribute.
async def context(request: Request) -> Context:
    """The context of the application that serves this request."""
    found: Context = request.app.state.context
    return found


Ctx = Annotated[Context, Depends(context)]
Clerk = Annotated[Person, Depends(require("clerk"))]
ContactReader = Annotated[Person, Depends(require("clerk", "officer"))]
