"""/api/inquiry/v1 for staff: lists, acceptance, contact points."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request

from services.inquiry.domain.states import State
from services.inquiry.domain.visibility import reads_words
from services.inquiry.http.answers import API, errors_as_problems, listed
from services.inquiry.http.bodies import Purpose
from services.inquiry.http.context import Clerk, ContactReader, Ctx
from services.inquiry.queries import list_cases
from shared.web.api_keys import Machine
from shared.web.callers import require_caller
from shared.web.keys import keyed
from shared.web.pagination import page_of, read_cursor
from shared.web.problems import Problem
from shared.web.session import Person

router = APIRouter(prefix=API, tags=["staff"])
ListReader = Annotated[
    Person | Machine, Depends(require_caller("clerk", "oversight", scope="inquiries.read"))
]


@router.get("/inquiries")
async def list_inquiries(
    ctx: Ctx,
    reader: ListReader,
    state: State | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Cases, newest first; all, or those of one state. Machines get no titles of secret ones (保密)."""
    after = read_cursor(cursor, str)
    cases = await list_cases(ctx.database.pool, state, after[0] if after else None, limit + 1)
    page = page_of(cases, limit, lambda case: (case.id,))
    roles = reader.roles if isinstance(reader, Person) else frozenset()
    items = [listed(case, readable=reads_words(case.visibility, roles)) for case in page.items]
    return {"items": items, "next": page.next}


@router.post("/inquiries/{reference}/accept")
async def accept(request: Request, ctx: Ctx, reference: str, person: Clerk) -> dict[str, Any]:
    """受理 of what the rules did not accept: fixes the policy version and starts the reply clock."""
    record = await ctx.access.get(reference)
    key = await keyed(request, person.actor)
    with errors_as_problems():
        return (await ctx.commands.accept(key, record.id, person.actor)).body


@router.get("/inquiries/{reference}/contact")
async def contact(ctx: Ctx, reference: str, purpose: Purpose, person: ContactReader) -> dict[str, Any]:
    """The citizen's contact points. Each reading is an event with reader and purpose.

    An officer reads only those of cases that the officer's own unit holds.
    """
    record = await ctx.access.get(reference)
    unit = None if "clerk" in person.roles else person.unit or ""
    with errors_as_problems():
        found = await ctx.commands.read_contact(record.id, purpose, person.actor, unit)
    if found is None:
        raise Problem(404, "no-contact", "The citizen has left no contact, or it is erased")
    return {"name": found.name, "email": found.email, "phone": found.phone, "language": found.language}
