"""`/dispatch`: what the rules could not place, longest waiting first, and the form that places it."""

from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.routing import queries
from services.routing.commands import Caller, Commands
from services.routing.http.access import Reader, reader
from services.routing.http.answers import answered, case_id, case_view, place_of
from services.routing.http.deadlines import Deadlines
from services.routing.http.names import Names
from services.routing.policy import Policies
from shared.contracts.base import Code, UnitCode
from shared.database import Database
from shared.ids import new_id
from shared.web.bodies import FieldError, Form, read_form
from shared.web.callers import require
from shared.web.i18n import language_of
from shared.web.keys import keyed_form
from shared.web.pages import Pages
from shared.web.pagination import page_of
from shared.web.state import web_state

PAGE = 50
CO_FIELDS = 3


class DispatchForm(BaseModel):
    lead: UnitCode
    co: Annotated[tuple[UnitCode, ...], Field(max_length=CO_FIELDS)] = ()
    idempotency_key: Code


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
    async def place(request: Request, _: Staff, who: Who, inquiry: str) -> Response:
        return await desk.place(request, who, inquiry)

    return router


class TriageDesk:
    """The dispatcher's pages."""

    def __init__(self, database: Database, policies: Policies, pages: Pages) -> None:
        self._database = database
        self._policies = policies
        self._pages = pages
        self._commands = Commands(database, policies)

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
        rows = await queries.triage(pool, place_of(cursor), PAGE + 1)
        listed = page_of(rows, PAGE, lambda row: (row["triaged_at"].isoformat(), row["id"]))
        case = await case_view(self._database, who, inquiry, None) if inquiry else None
        status = 409 if refusal else 422 if form else 200
        now = self._database.clock.now()
        return self._pages.render(
            request,
            "dispatch_queue.html",
            status=status,
            rows=listed.items,
            total=await queries.count_triage(pool),
            next_href=f"/dispatch?cursor={listed.next}" if listed.next else None,
            case=case,
            open_case=case is not None,
            placed=placed,
            form=form,
            refusal=refusal,
            co_fields=CO_FIELDS,
            idempotency_key=new_id(now),
            names=Names(self._policies, language_of(request, web_state(request).settings.language)),
            deadlines=await Deadlines.of(self._database, self._policies, [case] if case else []),
            now=now,
        )

    async def place(self, request: Request, who: Reader, inquiry: str) -> Response:
        """Places the case and leads back to the queue, or shows the form again."""
        form = await read_form(request, DispatchForm)
        value = form.value
        if value is not None and len({value.lead, *value.co}) != 1 + len(value.co):
            form = replace(form, value=None, errors=(FieldError("co", "twice"),))
            value = None
        if value is None:
            return await self.page(request, who, inquiry, form=form)
        said = value.model_dump_json(exclude={"idempotency_key"}).encode()
        by = Caller(who.actor, keyed_form(request, who.actor, value.idempotency_key, said))
        answer = await answered(self._commands.dispatch(by, case_id(inquiry), value.lead, value.co))
        if answer.status != 200:
            return await self.page(request, who, inquiry, form=form, refusal=answer.body)
        case = await case_view(self._database, who, inquiry, None)
        query = urlencode({"placed": case.number or inquiry, "lead": value.lead})
        return RedirectResponse(f"/dispatch?{query}", 303)
