"""`/dispatch`: what the rules could not place, longest waiting first, and the form that places it."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.routing import queries
from services.routing.http.access import Reader, reader
from services.routing.http.answers import answered, case_id, case_view, place_of
from services.routing.http.case_page import ROWS, CaseDesk, KeyedForm
from services.routing.http.models import TriageItem
from services.routing.policy import Policies
from shared.contracts.base import UnitCode
from shared.unit_of_work.database import Database
from shared.web.bodies import FieldError, Form, read_form
from shared.web.callers import require
from shared.web.pages import Pages
from shared.web.pagination import page_of, query

CO_FIELDS = 3


class DispatchForm(KeyedForm):
    lead: UnitCode
    co: Annotated[tuple[UnitCode, ...], Field(max_length=CO_FIELDS)] = ()


Staff = Annotated[Any, Depends(require("dispatcher"))]
Who = Annotated[Reader, Depends(reader)]
Cursor = Annotated[str | None, Field(max_length=1000)]


def build_dispatch(database: Database, policies: Policies, pages: Pages) -> APIRouter:
    """The routes under /dispatch."""
    router = APIRouter(include_in_schema=False)
    desk = TriageDesk(database, policies, pages)

    @router.get("/dispatch")
    async def show_queue(
        *,
        request: Request,
        _: Staff,
        who: Who,
        cursor: Cursor = None,
        placed: Cursor = None,
        lead: Cursor = None,
    ) -> Response:
        return await desk.page(request, who, cursor=cursor, placed=(placed, lead) if placed else None)

    @router.get("/dispatch/cases/{inquiry}")
    async def show_case(
        request: Request, _: Staff, who: Who, inquiry: str, cursor: Cursor = None
    ) -> Response:
        return await desk.page(request, who, inquiry, cursor=cursor)

    @router.post("/dispatch/cases/{inquiry}")
    async def place(request: Request, _: Staff, who: Who, inquiry: str, cursor: Cursor = None) -> Response:
        return await desk.place(request, who, inquiry, cursor)

    return router


class TriageDesk(CaseDesk):
    """The dispatcher's pages."""

    async def page(
        self,
        request: Request,
        who: Reader,
        inquiry: str | None = None,
        *,
        cursor: str | None = None,
        placed: tuple[str, str | None] | None = None,
        form: Form[Any] | None = None,
        refusal: dict[str, Any] | None = None,
    ) -> Response:
        """The queue, with a case beside it; after a form that was not done, with the form."""
        pool = self._database.pool
        rows = await queries.triage(pool, place_of(cursor), ROWS + 1)
        listed = page_of(rows, ROWS, lambda row: (row["triaged_at"].isoformat(), row["id"]))
        return await self._render(
            request,
            "dispatch_queue.html",
            status=409 if refusal else 422 if form else 200,
            rows=[TriageItem.of(row) for row in listed.items],
            case=await case_view(self._database, who, inquiry, None) if inquiry else None,
            now=self._database.clock.now(),
            total=await queries.count_triage(pool),
            next_href=f"/dispatch{query(cursor=listed.next)}" if listed.next else None,
            place=query(cursor=cursor),
            placed=placed,
            form=form,
            refusal=refusal,
            co_fields=CO_FIELDS,
        )

    async def place(self, request: Request, who: Reader, inquiry: str, cursor: str | None) -> Response:
        """Places the case and leads back to the queue, or shows the form again."""
        form = await read_form(request, DispatchForm)
        value = form.value
        if value is not None and len({value.lead, *value.co}) != 1 + len(value.co):
            form = replace(form, value=None, errors=(FieldError("co", "twice"),))
            value = None
        if value is None:
            return await self.page(request, who, inquiry, cursor=cursor, form=form)
        by = value.sent_by(request, who)
        answer = await answered(self._commands.dispatch(by, case_id(inquiry), value.lead, value.co))
        if answer.status != 200:
            return await self.page(request, who, inquiry, cursor=cursor, form=form, refusal=answer.body)
        case = await case_view(self._database, who, inquiry, None)
        told = query(placed=case.number or inquiry, lead=value.lead, cursor=cursor)
        return RedirectResponse(f"/dispatch{told}", 303)
