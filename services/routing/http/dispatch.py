"""`/dispatch`: the cases in triage, longest waiting first, and the form that dispatches one."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.routing import queries
from services.routing.http.access import Access, AccessDep
from services.routing.http.answers import answered, case_id, case_view, page_of_rows, parse_cursor
from services.routing.http.case_page import ROWS, KeyedForm, render
from services.routing.http.context import Context, Ctx
from services.routing.http.models import TriageItem
from shared.contracts.base import UnitCode
from shared.web.bodies import FieldError, Form, read_form
from shared.web.callers import require
from shared.web.pagination import query

CO_FIELDS = 3


class DispatchForm(KeyedForm):
    """The units that a dispatcher names."""

    lead: UnitCode
    co: Annotated[tuple[UnitCode, ...], Field(max_length=CO_FIELDS)] = ()


Staff = Depends(require("dispatcher"))
ShortText = Annotated[str | None, Field(max_length=1000)]

router = APIRouter(include_in_schema=False, dependencies=[Staff])


@router.get("/dispatch")
async def show_queue(
    *,
    request: Request,
    context: Ctx,
    access: AccessDep,
    cursor: ShortText = None,
    placed: ShortText = None,
    lead: ShortText = None,
) -> Response:
    """The queue. `placed` and `lead` name the case that was just dispatched, and its lead."""
    return await _page(request, context, access, cursor=cursor, placed=(placed, lead) if placed else None)


@router.get("/dispatch/cases/{inquiry}")
async def show_case(
    request: Request, context: Ctx, access: AccessDep, inquiry: str, cursor: ShortText = None
) -> Response:
    """The queue with a case beside it."""
    return await _page(request, context, access, inquiry, cursor=cursor)


@router.post("/dispatch/cases/{inquiry}")
async def dispatch_case(
    request: Request, context: Ctx, access: AccessDep, inquiry: str, cursor: ShortText = None
) -> Response:
    """Dispatches the case and redirects to the queue, or shows the form again."""
    form = await read_form(request, DispatchForm)
    value = form.value
    if value is not None and len({value.lead, *value.co}) != 1 + len(value.co):
        form = replace(form, value=None, errors=(FieldError("co", "twice"),))
        value = None
    if value is None:
        return await _page(request, context, access, inquiry, cursor=cursor, form=form)
    sender = value.sender(request, access)
    answer = await answered(context.commands.dispatch(sender, case_id(inquiry), value.lead, value.co))
    if answer.status != 200:
        return await _page(request, context, access, inquiry, cursor=cursor, form=form, refusal=answer.body)
    case = await case_view(context, access, inquiry)
    notice = query(placed=case.number or inquiry, lead=value.lead, cursor=cursor)
    return RedirectResponse(f"/dispatch{notice}", 303)


async def _page(
    request: Request,
    context: Context,
    access: Access,
    inquiry: str | None = None,
    *,
    cursor: str | None = None,
    placed: tuple[str, str | None] | None = None,
    form: Form[Any] | None = None,
    refusal: dict[str, Any] | None = None,
) -> Response:
    """The queue, with a case beside it; after a form that failed, with the form."""
    pool = context.database.pool
    page = page_of_rows(await queries.triage_queue(pool, parse_cursor(cursor), ROWS + 1), ROWS)
    return await render(
        request,
        context,
        "dispatch_queue.html",
        status=409 if refusal else 422 if form else 200,
        rows=[TriageItem.of(row) for row in page.items],
        case=await case_view(context, access, inquiry) if inquiry else None,
        now=context.database.clock.now(),
        total=await queries.count_triage(pool),
        next_href=f"/dispatch{query(cursor=page.next)}" if page.next else None,
        place=query(cursor=cursor),
        placed=placed,
        form=form,
        refusal=refusal,
        co_fields=CO_FIELDS,
    )
