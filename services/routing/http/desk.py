"""`/desk`: a unit's cases, due time first, and the case beside the list with what may be done now."""

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
from services.routing.http.access import SEE_ALL, Reader, reader, unit_to_act_for
from services.routing.http.answers import answered, case_id, case_view, existing_unit, place_of
from services.routing.http.case_page import ROWS, CaseDesk, KeyedForm
from services.routing.http.models import DeskItem
from services.routing.policy import Policies
from shared.contracts.inquiry import LongText, ReplyOutcome
from shared.contracts.routing import ReplyAction, ReturnAction, SignAction
from shared.unit_of_work.database import Database
from shared.web.bodies import Form, read_form
from shared.web.callers import require
from shared.web.pages import Pages
from shared.web.pagination import page_of, query
from shared.web.problems import Problem

VIEW_SECONDS = 2.0
Verb = Literal["sign", "reply", "return"]
ListState = Literal["replied", "closed"]


class SignForm(KeyedForm):
    """Nothing but its button."""


class ReplyForm(KeyedForm):
    outcome: ReplyOutcome
    text: LongText


class ReturnForm(KeyedForm):
    reason: Literal["not_our_duty", "not_our_area", "unclear_owner", "overlapping_duty"]
    text: LongText


_FORMS: dict[str, type[SignForm | ReplyForm | ReturnForm]] = {
    "sign": SignForm,
    "reply": ReplyForm,
    "return": ReturnForm,
}


class Filters(BaseModel):
    """What the list shows; the same in every address of the desk."""

    unit: Annotated[str | None, Field(pattern="^[a-z0-9-]{1,64}$")] = None
    state: ListState | None = None
    q: Annotated[str | None, Field(max_length=200)] = None
    cursor: Annotated[str | None, Field(max_length=1000)] = None

    def query(self, **more: str | int | None) -> str:
        """The filters as the query of an address, with `more` of it; begins with `?`, or is empty."""
        return query(**{**self.model_dump(), **more})


def filters(
    unit: str | None = None, state: str | None = None, q: str | None = None, cursor: str | None = None
) -> Filters:
    """From the address; a field sent empty, as a form without scripts does, counts as not sent."""
    return Filters.model_validate(
        {
            "unit": unit or None,
            "state": state or None,
            "q": (q or "").strip() or None,
            "cursor": cursor or None,
        }
    )


Staff = Annotated[Any, Depends(require("officer", *sorted(SEE_ALL)))]
Who = Annotated[Reader, Depends(reader)]
Shown = Annotated[Filters, Depends(filters)]


@dataclass(frozen=True, slots=True)
class Sent:
    """A form that could not be done: which, as it was typed, or the refusal."""

    verb: str
    form: Form[Any]
    refusal: dict[str, Any] | None = None


def build_desk(database: Database, policies: Policies, pages: Pages) -> APIRouter:
    """The routes under /desk."""
    router = APIRouter(include_in_schema=False)
    desk = Desk(database, policies, pages)

    @router.get("/desk")
    async def show_list(request: Request, _: Staff, who: Who, shown: Shown) -> Response:
        return await desk.page(request, who, shown)

    @router.get("/desk/cases/{inquiry}")
    async def show_case(
        *, request: Request, _: Staff, who: Who, shown: Shown, inquiry: str, after: int | None = None
    ) -> Response:
        if after is not None:
            await desk.wait_for_answer(case_id(inquiry))
        return await desk.page(request, who, shown, inquiry)

    @router.post("/desk/cases/{inquiry}/{verb}")
    async def act(
        *, request: Request, _: Staff, who: Who, shown: Shown, inquiry: str, verb: Verb
    ) -> Response:
        return await desk.act(request, who, shown, inquiry=inquiry, verb=verb)

    return router


class Desk(CaseDesk):
    """The desk's pages."""

    async def page(
        self,
        request: Request,
        who: Reader,
        shown: Filters,
        inquiry: str | None = None,
        sent: Sent | None = None,
    ) -> Response:
        """The list of the unit, with a case beside it; after a form that was not done, with the form."""
        unit = await existing_unit(self._database, self._policies, who, self._unit(who, shown))
        rows = await queries.desk(
            self._database.pool,
            unit,
            place_of(shown.cursor),
            state=shown.state,
            search=shown.q,
            limit=ROWS + 1,
        )
        listed = page_of(rows, ROWS, lambda row: (row["reply_due"].isoformat(), row["id"]))
        now = self._database.clock.now()
        case = await case_view(self._database, who, inquiry, unit) if inquiry else None
        acts = unit in who.acts_for
        return await self._render(
            request,
            "desk_cases.html",
            status=(409 if sent.refusal else 422) if sent else 200,
            rows=[DeskItem.of(row) for row in listed.items],
            case=case,
            next_href="/desk" + shown.query(cursor=listed.next) if listed.next else None,
            shown=shown,
            unit=unit,
            chooses_unit=who.sees_all,
            acts=acts,
            reads_contact=acts and case is not None and case.held_by(unit),
            sent=sent,
            now=now,
            soon=now + dt.timedelta(days=1),
        )

    async def act(
        self, request: Request, who: Reader, shown: Filters, *, inquiry: str, verb: Verb
    ) -> Response:
        """Does what the form says and leads back to the case, or shows the form again."""
        form: Form[Any] = await read_form(request, _FORMS[verb])
        value = form.value
        if value is None:
            return await self.page(request, who, shown, inquiry, sent=Sent(verb, form))
        unit = unit_to_act_for(who, shown.unit)
        by = value.sent_by(request, who)
        command = self._commands.act(by, case_id(inquiry), unit, _action(verb, value))
        answer = await answered(command)
        if answer.status != 200:
            return await self.page(request, who, shown, inquiry, sent=Sent(verb, form, answer.body))
        return RedirectResponse(f"/desk/cases/{inquiry}{shown.query(after=answer.body['sequence'])}", 303)

    async def wait_for_answer(self, inquiry: str) -> None:
        """Up to two seconds for inquiry's answer to a reply; all else that is shown is routing's own."""
        try:
            async with asyncio.timeout(VIEW_SECONDS):
                while await queries.reply_is_pending(self._database.pool, inquiry):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            return  # the page says that the reply is on its way

    def _unit(self, who: Reader, shown: Filters) -> str:
        if shown.unit is not None and not who.sees(shown.unit):
            raise Problem(403, "not-your-unit", "These cases are not your department's")
        own = sorted(who.acts_for)
        return shown.unit or (own[0] if own else self._policies.current.pack.departments[0].code)


def _action(verb: Verb, form: Any) -> Action:
    match verb:
        case "sign":
            return SignAction()
        case "reply":
            return ReplyAction(outcome=form.outcome, text=form.text)
        case "return":
            return ReturnAction(reason=form.reason, text=form.text)
