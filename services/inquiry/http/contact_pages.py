"""/clerk/<number>/contact: the citizen's contact points, read for a stated purpose and on the record.

For a clerk, and for an officer of a unit that holds the case.
"""

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.inquiry.http.answers import errors_as_problems
from services.inquiry.http.bodies import ContactBody
from services.inquiry.http.context import ContactReader, Context, Ctx
from services.inquiry.queries import CaseRecord
from shared.web.bodies import blank_form, read_form
from shared.web.session import Person

router = APIRouter(include_in_schema=False)


@router.get("/clerk/{reference}/contact")
async def ask(request: Request, ctx: Ctx, reference: str, person: ContactReader) -> Response:
    """The form that asks for the purpose."""
    record, _ = await ctx.access.get_to_contact(reference, person)
    return _page(request, ctx, record, person)


@router.post("/clerk/{reference}/contact")
async def read(request: Request, ctx: Ctx, reference: str, person: ContactReader) -> Response:
    """The contact points. Without a redirect: loading the page again is another reading, on the record."""
    form = await read_form(request, ContactBody)
    record, unit = await ctx.access.get_to_contact(reference, person)
    if form.value is None:
        return _page(request, ctx, record, person, status=422, form=form)
    purpose, note = form.value.purpose, form.value.note
    with errors_as_problems():
        contact = await ctx.commands.read_contact(record.id, purpose, person.actor, unit, note)
    return _page(request, ctx, record, person, read=True, contact=contact, purpose=purpose)


def _page(
    request: Request, ctx: Context, record: CaseRecord, person: Person, status: int = 200, **shown: Any
) -> Response:
    number = record.number
    to_clerk = f"/clerk?{urlencode({'case': number})}"
    back = to_clerk if "clerk" in person.roles else f"/desk/cases/{record.id}"
    shown = {"form": blank_form(), "read": False, "contact": None} | shown
    response = ctx.pages.render(request, "contact.html", status=status, number=number, back=back, **shown)
    response.headers["Cache-Control"] = "no-store"
    return response
