"""/api/inquiry/v1 for staff: lists, acceptance, contact points."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request

from services.inquiry.domain.states import State
from services.inquiry.domain.visibility import reads_words
from services.inquiry.http.answers import API, errors_as_problems, listed
from services.inquiry.http.bodies import ContactBody
from services.inquiry.http.context import Clerk, ContactReader, Ctx
from services.inquiry.queries import list_cases
from shared.web.api_keys import Machine
from shared.web.bodies import read_model
from shared.web.callers import require_caller
from shared.web.keys import keyed
from shared.web.openapi import takes
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


@router.post("/inquiries/{reference}/contact", openapi_extra=takes(ContactBody))
async def contact(request: Request, ctx: Ctx, reference: str, person: ContactReader) -> dict[str, Any]:
    """The citizen's contact points, for the stated purpose. Each reading is an event with reader and purpose.

    An officer reads only those of cases that the officer's own unit holds. Needs no Idempotency-Key: what is
    read twice is on the record twice.
    """
    record, unit = await ctx.access.get_to_contact(reference, person)
    body = await read_model(request, ContactBody)
    with errors_as_problems():
        found = await ctx.commands.read_contact(record.id, body.purpose, person.actor, unit, body.note)
    if found is None:
        raise Problem(404, "no-contact", "The citizen has left no contact, or it is erased")
    return {"name": found.name, "email": found.email, "phone": found.phone, "language": found.language}


@router.head("/inquiries/{reference}/contact", status_code=405, include_in_schema=False)
@router.get("/inquiries/{reference}/contact", status_code=405, deprecated=True)
async def contact_by_get(reference: str) -> None:  # noqa: ARG001  (named in the path)
    """No more: a reading is on the officer's record, and any link could cause one. Read by POST instead."""
    raise Problem(
        405,
        "contact-by-post",
        "A contact is read by POST",
        f"Send POST {API}/inquiries/{{reference}}/contact with a JSON body: "
        '{"purpose": "call_back"}, "clarify" or "deliver".',
        headers={"Allow": "POST"},
    )
