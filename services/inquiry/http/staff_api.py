"""/api/inquiry/v1 for staff: the queue, acceptance, contact points."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request

from services.inquiry.commands import CaseCommands
from services.inquiry.domain.states import PARTS, State
from services.inquiry.domain.visibility import reads_words
from services.inquiry.http.access import Access
from services.inquiry.http.answers import listed, problem_of
from services.inquiry.http.bodies import Purpose
from services.inquiry.http.open_api import BASE
from services.inquiry.queries import QUERIES
from shared.errors import Conflict
from shared.web.api_keys import Machine
from shared.web.callers import require, require_caller
from shared.web.keys import keyed
from shared.web.pagination import page_of, read_cursor
from shared.web.problems import Problem
from shared.web.session import Person

Reader = Annotated[Person | Machine, Depends(require_caller("clerk", "oversight", scope="inquiries.read"))]


def staff_api(commands: CaseCommands, access: Access) -> APIRouter:
    """The routes for clerks, officers and oversight."""
    router = APIRouter(prefix=BASE, tags=["staff"])
    pool = commands.database.pool

    @router.get("/inquiries")
    async def list_inquiries(
        who: Reader,
        state: State | None = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> dict[str, Any]:
        """Cases, newest first; all, or those of one state. Titles of secret ones (保密) not for machines."""
        after = read_cursor(cursor, str)
        stage, holdings = PARTS[state] if state else (None, ())
        rows = await pool.fetch(
            QUERIES["list_cases"], stage, list(holdings), after[0] if after else None, limit + 1
        )
        page = page_of(rows, limit, lambda row: (row["id"],))
        roles = who.roles if isinstance(who, Person) else frozenset()
        items = [listed(row, readable=reads_words(row["visibility"], roles)) for row in page.items]
        return {"items": items, "next": page.next}

    @router.post("/inquiries/{reference}/accept")
    async def accept(
        request: Request, reference: str, person: Annotated[Person, Depends(require("clerk"))]
    ) -> dict[str, Any]:
        """受理 of what the rules did not accept: fixes the policy version and starts the reply clock."""
        found = await access.get(reference)
        try:
            request_ = await keyed(request, person.actor)
            return (await commands.accept(request_, found["id"], person.actor)).body
        except Conflict as error:
            raise problem_of(error) from error

    @router.get("/inquiries/{reference}/contact")
    async def contact(
        reference: str,
        purpose: Purpose,
        person: Annotated[Person, Depends(require("clerk", "officer"))],
    ) -> dict[str, Any]:
        """The citizen's contact points. Each reading is an event with reader and purpose.

        An officer reads only what the own unit holds.
        """
        found = await access.get(reference)
        unit = None if "clerk" in person.roles else person.unit or ""
        try:
            read = await commands.read_contact(found["id"], purpose, person.actor, unit)
        except Conflict as error:
            raise problem_of(error) from error
        if read is None:
            raise Problem(404, "no-contact", "The citizen has left no contact, or it is erased")
        return {"name": read.name, "email": read.email, "phone": read.phone, "language": read.language}

    return router
