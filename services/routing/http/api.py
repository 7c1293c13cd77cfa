"""The API: for the systems of units and the tools of dispatchers.

Docstrings and names of the routes are published in the OpenAPI document.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.requests import Request

from services.routing import queries
from services.routing.commands import Sender
from services.routing.domain.case_file import State
from services.routing.domain.decisions import Action
from services.routing.http.access import Access, AccessDep, key_scope, unit_to_act_for, unit_to_read
from services.routing.http.answers import (
    answered,
    case_id,
    case_view,
    done,
    existing_unit,
    explain_dispatch,
    page_of_rows,
    parse_cursor,
)
from services.routing.http.context import Context, Ctx
from services.routing.http.models import (
    CaseView,
    DeskItem,
    DispatchBody,
    Done,
    Explanation,
    Listed,
    Triage,
    TriageItem,
    Unit,
    Units,
)
from shared.contracts.routing import ReplyAction, ReturnAction, SignAction
from shared.web.api_keys import Machine
from shared.web.bodies import read_model
from shared.web.callers import require_caller
from shared.web.keys import keyed
from shared.web.openapi import takes
from shared.web.session import Person

Limit = Annotated[int, Field(ge=1, le=200)]
WantedUnit = Annotated[str | None, Query(pattern="^[a-z0-9-]{1,64}$")]
Dispatcher = Annotated[Person | Machine, Depends(require_caller("dispatcher", scope="dispatch"))]

router = APIRouter(prefix="/api/routing/v1")


@router.get("/cases")
async def list_cases(
    *,
    context: Ctx,
    access: AccessDep,
    unit: WantedUnit = None,
    state: State | None = None,
    q: Annotated[str | None, Field(max_length=200)] = None,
    cursor: str | None = None,
    limit: Limit = 50,
) -> Listed:
    """A unit's cases, due time first: what it has to do, or with `state` those in one state."""
    after = parse_cursor(cursor)
    listed = await existing_unit(context, access, unit_to_read(access, unit))
    pool = context.database.pool
    rows = await queries.desk_cases(pool, listed, after, state=state, search=q, limit=limit + 1)
    page = page_of_rows(rows, limit)
    return Listed(items=[DeskItem.of(row) for row in page.items], next=page.next)


@router.get("/cases/{inquiry}")
async def show_case(context: Ctx, access: AccessDep, inquiry: str, unit: WantedUnit = None) -> CaseView:
    """One case file, to the units that hold or have held it and to those who see all.

    Of a secret one (保密) a unit that returned or lost it sees no words: `words_hidden` is true.
    """
    return await case_view(context, access, inquiry, unit)


@router.post("/cases/{inquiry}/actions/sign")
async def sign(
    request: Request, context: Ctx, access: AccessDep, inquiry: str, unit: WantedUnit = None
) -> Done:
    """签收: the unit takes the case on. The body may be empty."""
    return await _act(request, context, access, inquiry=inquiry, unit=unit, action=SignAction())


@router.post("/cases/{inquiry}/actions/reply", openapi_extra=takes(ReplyAction))
async def reply(
    request: Request, context: Ctx, access: AccessDep, inquiry: str, unit: WantedUnit = None
) -> Done:
    """答复, by the lead. inquiry decides; until then `reply_pending` is true, then
    the case is `replied`, or `reply_refused` names the rule against it."""
    action = await read_model(request, ReplyAction)
    return await _act(request, context, access, inquiry=inquiry, unit=unit, action=action)


@router.post("/cases/{inquiry}/actions/return", openapi_extra=takes(ReturnAction))
async def give_back(
    request: Request, context: Ctx, access: AccessDep, inquiry: str, unit: WantedUnit = None
) -> Done:
    """退回, with the reason. A returned lead puts the case into triage."""
    action = await read_model(request, ReturnAction)
    return await _act(request, context, access, inquiry=inquiry, unit=unit, action=action)


@router.get("/triage")
async def list_triage(_: Dispatcher, context: Ctx, cursor: str | None = None, limit: Limit = 50) -> Triage:
    """What the rules could not place, longest waiting first."""
    pool = context.database.pool
    page = page_of_rows(await queries.triage_queue(pool, parse_cursor(cursor), limit + 1), limit)
    total = await queries.count_triage(pool)
    return Triage(items=[TriageItem.of(row) for row in page.items], next=page.next, total=total)


@router.post("/triage/{inquiry}/dispatch", openapi_extra=takes(DispatchBody))
async def place(request: Request, context: Ctx, dispatcher: Dispatcher, inquiry: str) -> Done:
    """Places a case: the lead answers, the co-handlers help."""
    body = await read_model(request, DispatchBody)
    sender = Sender(dispatcher.actor, await keyed(request, dispatcher.actor))
    command = context.commands.dispatch(sender, case_id(inquiry), body.lead, body.co)
    return done(await answered(command))


@router.get("/units")
async def list_units(context: Ctx) -> Units:
    """The departments of the pack in force."""
    pack = context.packs.current
    items = [Unit(**{name: getattr(one, name) for name in Unit.model_fields}) for one in pack.departments]
    return Units(policy_version=pack.version, items=items)


@router.get("/catalogue/explain")
async def explain(
    context: Ctx,
    service_code: Annotated[str, Field(max_length=200)],
    area: Annotated[str | None, Field(max_length=200)] = None,
) -> Explanation:
    """Where the catalogue would send a case today, by which rule and on whose word."""
    return explain_dispatch(context.packs.current, service_code, area, context.database.clock.now())


async def _act(
    request: Request, context: Context, access: Access, *, inquiry: str, unit: str | None, action: Action
) -> Done:
    acting = unit_to_act_for(access, unit)
    sender = Sender(access.actor, await keyed(request, key_scope(access.actor, acting)))
    return done(await answered(context.commands.act(sender, case_id(inquiry), acting, action)))
