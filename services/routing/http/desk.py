"""`/desk`: a unit's cases by due time, and a case beside the list with the forms that it allows now."""

import asyncio
import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.routing import queries
from services.routing.domain.decisions import Action
from services.routing.http.access import SEE_ALL, Access, AccessDep, unit_to_act_for
from services.routing.http.answers import (
    answered,
    case_id,
    case_view,
    existing_unit,
    page_of_rows,
    parse_cursor,
)
from services.routing.http.case_page import ROWS, KeyedForm, render
from services.routing.http.context import Context, Ctx
from services.routing.http.models import DeskItem
from shared.contracts.inquiry import LongText, ReplyOutcome
from shared.contracts.routing import ReplyAction, ReturnAction, SignAction
from shared.web.bodies import Form, read_form
from shared.web.callers import require
from shared.web.pagination import query
from shared.web.problems import Problem

VIEW_SECONDS = 2.0
"""How long the page after a reply waits for inquiry's answer; all else that it shows is routing's own."""
Verb = Literal["sign", "reply", "return"]
ListState = Literal["replied", "closed"]


class SignForm(KeyedForm):
    """签收: nothing but its button."""


class ReplyForm(KeyedForm):
    """答复."""

    outcome: ReplyOutcome
    text: LongText


class ReturnForm(KeyedForm):
    """退回."""

    reason: Literal["not_our_duty", "not_our_area", "unclear_owner", "overlapping_duty"]
    text: LongText


_FORMS: dict[str, type[SignForm | ReplyForm | ReturnForm]] = {
    "sign": SignForm,
    "reply": ReplyForm,
    "return": ReturnForm,
}


class Filters(BaseModel):
    """What the list shows; kept in every URL of the desk."""

    unit: Annotated[str | None, Field(pattern="^[a-z0-9-]{1,64}$")] = None
    state: ListState | None = None
    q: Annotated[str | None, Field(max_length=200)] = None
    cursor: Annotated[str | None, Field(max_length=1000)] = None

    def query(self, **more: str | int | None) -> str:
        """The filters and `more` as the query of a URL; begins with `?`, or is empty."""
        return query(**{**self.model_dump(), **more})


async def filters(
    unit: str | None = None, state: str | None = None, q: str | None = None, cursor: str | None = None
) -> Filters:
    """A dependency: from the URL. An empty field, which a form without scripts sends, counts as not sent."""
    return Filters.model_validate(
        {
            "unit": unit or None,
            "state": state or None,
            "q": (q or "").strip() or None,
            "cursor": cursor or None,
        }
    )


Staff = Depends(require("officer", *sorted(SEE_ALL)))
Shown = Annotated[Filters, Depends(filters)]

router = APIRouter(include_in_schema=False, dependencies=[Staff])


@dataclass(frozen=True, slots=True)
class FailedForm:
    """A form that was not done: as it was typed, with its errors or with the refusal."""

    verb: Verb
    form: Form[Any]
    refusal: dict[str, Any] | None = None


@router.get("/desk")
async def show_list(request: Request, context: Ctx, access: AccessDep, shown: Shown) -> Response:
    """A unit's list."""
    return await _page(request, context, access, shown)


@router.get("/desk/cases/{inquiry}")
async def show_case(
    *,
    request: Request,
    context: Ctx,
    access: AccessDep,
    shown: Shown,
    inquiry: str,
    after: int | None = None,
) -> Response:
    """The list with a case beside it. `after`: the sequence of the event that a form has just caused."""
    if after is not None:
        await case_view(context, access, inquiry)  # how long it waits tells something about the case
        await _wait_for_answer(context, case_id(inquiry))
    return await _page(request, context, access, shown, inquiry=inquiry)


@router.post("/desk/cases/{inquiry}/{verb}")
async def act(
    *,
    request: Request,
    context: Ctx,
    access: AccessDep,
    shown: Shown,
    inquiry: str,
    verb: Verb,
) -> Response:
    """Does what the form says and redirects to the case, or shows the form again."""
    form: Form[Any] = await read_form(request, _FORMS[verb])
    value = form.value
    if value is None:
        failed = FailedForm(verb, form)
        return await _page(request, context, access, shown, inquiry=inquiry, failed=failed)
    unit = unit_to_act_for(access, shown.unit)
    sender = value.sender(request, access, unit)
    answer = await answered(context.commands.act(sender, case_id(inquiry), unit, _action(verb, value)))
    if answer.status != 200:
        failed = FailedForm(verb, form, answer.body)
        return await _page(request, context, access, shown, inquiry=inquiry, failed=failed)
    return RedirectResponse(f"/desk/cases/{inquiry}{shown.query(after=answer.body['sequence'])}", 303)


async def _page(
    request: Request,
    context: Context,
    access: Access,
    shown: Filters,
    *,
    inquiry: str | None = None,
    failed: FailedForm | None = None,
) -> Response:
    """The list, with a case beside it; after a form that failed, with the form."""
    pool, now = context.database.pool, context.database.clock.now()
    unit = await existing_unit(context, access, _unit(context, access, shown))
    cursor = parse_cursor(shown.cursor)
    rows = await queries.desk_cases(pool, unit, cursor, state=shown.state, search=shown.q, limit=ROWS + 1)
    page = page_of_rows(rows, ROWS)
    case = await case_view(context, access, inquiry, unit) if inquiry else None
    acts = unit in access.acts_for
    return await render(
        request,
        context,
        "desk_cases.html",
        status=(409 if failed.refusal else 422) if failed else 200,
        rows=[DeskItem.of(row) for row in page.items],
        case=case,
        next_href="/desk" + shown.query(cursor=page.next) if page.next else None,
        shown=shown,
        unit=unit,
        chooses_unit=access.sees_all,
        acts=acts,
        reads_contact=acts and case is not None and case.held_by(unit),
        sent=failed,
        now=now,
        soon=now + dt.timedelta(days=1),
    )


async def _wait_for_answer(context: Context, inquiry: str) -> None:
    try:
        async with asyncio.timeout(VIEW_SECONDS):
            while await queries.reply_is_pending(context.database.pool, inquiry):
                await asyncio.sleep(0.1)
    except TimeoutError:
        return  # the page shows the reply as pending


def _unit(context: Context, access: Access, shown: Filters) -> str:
    if shown.unit is not None and not access.sees(shown.unit):
        raise Problem(403, "not-your-unit", "These cases are not your department's")
    own = sorted(access.acts_for)
    return shown.unit or (own[0] if own else context.packs.current.departments[0].code)


def _action(verb: Verb, form: Any) -> Action:
    match verb:
        case "sign":
            return SignAction()
        case "reply":
            return ReplyAction(outcome=form.outcome, text=form.text)
        case "return":
            return ReturnAction(reason=form.reason, text=form.text)
