"""/clerk/<number>/contact: the citizen's contact points, read for a stated purpose and on the record."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from services.inquiry.commands import CaseCommands
from services.inquiry.http.access import Access, Found
from services.inquiry.http.answers import problem_of
from services.inquiry.http.bodies import ContactForm
from shared.errors import Conflict
from shared.web.bodies import blank_form, read_form
from shared.web.callers import require
from shared.web.pages import Pages
from shared.web.session import Person

Reader = Annotated[Person, Depends(require("clerk", "officer"))]


def contact_pages(commands: CaseCommands, access: Access, pages: Pages) -> APIRouter:
    """For a clerk, and for an officer of a unit that holds the case."""
    router = APIRouter(include_in_schema=False)

    def render(request: Request, found: Found, person: Person, status: int = 200, **context: Any) -> Response:
        number = found["number"]
        at_the_clerk = f"/clerk?{urlencode({'case': number})}"
        back = at_the_clerk if "clerk" in person.roles else f"/desk/cases/{found['id']}"
        shown = {"form": blank_form(), "read": False, "contact": None} | context
        response = pages.render(request, "contact.html", status=status, number=number, back=back, **shown)
        response.headers["Cache-Control"] = "no-store"
        return response

    @router.get("/clerk/{reference}/contact")
    async def ask(request: Request, reference: str, person: Reader) -> Response:
        return render(request, await access.get(reference), person)

    @router.post("/clerk/{reference}/contact")
    async def read(request: Request, reference: str, person: Reader) -> Response:
        # Answered at once, without a page to come back to: who loads it again reads again, on the record.
        form = await read_form(request, ContactForm)
        found = await access.get(reference)
        if form.value is None:
            return render(request, found, person, status=422, form=form)
        unit = None if "clerk" in person.roles else person.unit or ""
        reason = form.value
        try:
            contact = await commands.read_contact(
                found["id"], reason.purpose, person.actor, unit, reason.note
            )
        except Conflict as error:
            raise problem_of(error) from error
        return render(request, found, person, read=True, contact=contact, purpose=reason.purpose)

    return router
