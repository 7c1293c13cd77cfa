"""What routing's routes work with: the application's context, and the dependency that finds it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from services.routing.commands import Commands
from shared.packs import Packs
from shared.unit_of_work.database import Database
from shared.web.pages import Pages


@dataclass(frozen=True, slots=True)
class Context:
    """Made once by `app.build`."""

    database: Database
    packs: Packs
    commands: Commands
    pages: Pages


async def context(request: Request) -> Context:
    """A dependency: the context of the application that serves this request.

    Asynchronous, since FastAPI runs a plain function in a thread: a hop on every request.
    """
    found: Context = request.app.state.context
    return found


Ctx = Annotated[Context, Depends(context)]
