"""The API: what a unit's own system or a dispatcher's tool asks."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.requests import Request

from services.routing import queries
from services.routing.commands import Caller, Commands
from services.routing.domain.case_file import State
from services.routing.domain.decisions import Action
from services.routing.http.access import Reader, reader, unit_to_act_for, unit_to_read
from services.routing.http.answers import (
    answered,
    case_id,
    case_view,
    done,
    existing_unit,
    explain_dispatch,
    place_of,
)
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
from services.routing.policy import Policies
from shared.contracts.routing import ReplyAction, ReturnAction, SignAction
from shared.unit_of_work.database import Database
from shared.web.bodies import read_model
from shared.web.callers import require_caller
from shared.web.keys import keyed
from shared.web.openapi import takes
from shared.web.pagination import page_of

Limit = Annotated[int, Field(ge=1, le=200)]
WantedUnit = Annotated[str | None, Query(pattern="^[a-z0-9-]{1,64}$")]
Who = Annotated[Reader, Depends(reader)]
Dispatcher = Annotated[Any, Depends(require_caller("dispatcher", scope="dispatch"))]


def build_api(database: Database, policies: Policies) -> APIRouter:
    """The routes under /api/routing/v1."""
    router = APIRouter(prefix="/api/routing/v1")
    commands = Commands(database, policies)
    _cases(router, database, policies, commands)
    _triage(router, database, commands)
    _directory(router, database, policies)
    return router


def _cases(router: APIRouter, database: Database, policies: Policies, commands: Commands) -> None:
    @router.get("/cases")
    async def list_cases(
        *,
        who: Who,
        unit: WantedUnit = None,
        state: State | None = None,
        q: Annotated[str | None, Field(max_length=200)] = None,
        cursor: str | None = None,
        limit: Limit = 50,
    ) -> Listed:
        """A unit's cases, due time first: what it has to do, or with `state` those in one state."""
        after = place_of(cursor)
        listed = await existing_unit(database, policies, who, unit_to_read(who, unit))
        rows = await queries.desk(database.pool, listed, after, state=state, search=q, limit=limit + 1)
        page = page_of(rows, limit, lambda row: (row["reply_due"].isoformat(), row["id"]))
        return Listed(items=[DeskItem.of(row) for row in page.items], next=page.next)

    @router.get("/cases/{inquiry}")
    async def show_case(who: Who, inquiry: str, unit: WantedUnit = None) -> CaseView:
        """One case file, to the units that hold or have held it and to those who see all.

        Of a secret one (保密) a unit that returned or lost it sees no words: `words_hidden` is true.
        """
        return await case_view(database, who, inquiry, unit)

    async def act(request: Request, who: Reader, inquiry: str, unit: str | None, action: Action) -> Done:
        by = Caller(who.actor, await keyed(request, who.actor))
        return done(await answered(commands.act(by, case_id(inquiry), unit_to_act_for(who, unit), action)))

    @router.post("/cases/{inquiry}/actions/sign")
    async def sign(request: Request, who: Who, inquiry: str, unit: WantedUnit = None) -> Done:
        """签收: the unit takes the case on. The body may be empty."""
        return await act(request, who, inquiry, unit, SignAction())

    @router.post("/cases/{inquiry}/actions/reply", openapi_extra=takes(ReplyAction))
    async def reply(request: Request, who: Who, inquiry: str, unit: WantedUnit = None) -> Done:
        """答复, by the lead. inquiry decides; until then `reply_pending` is true, then
        the case is `replied`, or `reply_refused` names the rule against it."""
        return await act(request, who, inquiry, unit, await read_model(request, ReplyAction))

    @router.post("/cases/{inquiry}/actions/return", openapi_extra=takes(ReturnAction))
    async def give_back(request: Request, who: Who, inquiry: str, unit: WantedUnit = None) -> Done:
        """退回, with the reason. A returned lead puts the case into triage."""
        return await act(request, who, inquiry, unit, await read_model(request, ReturnAction))


def _triage(router: APIRouter, database: Database, commands: Commands) -> None:
    @router.get("/triage")
    async def list_triage(_: Dispatcher, cursor: str | None = None, limit: Limit = 50) -> Triage:
        """What the rules could not place, longest waiting first."""
        rows = await queries.triage(database.pool, place_of(cursor), limit + 1)
        page = page_of(rows, limit, lambda row: (row["triaged_at"].isoformat(), row["id"]))
        total = await queries.count_triage(database.pool)
        return Triage(items=[TriageItem.of(row) for row in page.items], next=page.next, total=total)

    @router.post("/triage/{inquiry}/dispatch", openapi_extra=takes(DispatchBody))
    async def place(request: Request, who: Dispatcher, inquiry: str) -> Done:
        """Places a case: the lead answers, the co-handlers help."""
        body = await read_model(request, DispatchBody)
        by = Caller(who.actor, await keyed(request, who.actor))
        return done(await answered(commands.dispatch(by, case_id(inquiry), body.lead, body.co)))


def _directory(router: APIRouter, database: Database, policies: Policies) -> None:
    @router.get("/units")
    async def list_units() -> Units:
        """The departments of the pack in force."""
        pack = policies.current.pack
        return Units(
            policy_version=pack.version,
            items=[
                Unit(**{name: getattr(one, name) for name in Unit.model_fields}) for one in pack.departments
            ],
        )

    @router.get("/catalogue/explain")
    async def explain(
        service_code: Annotated[str, Field(max_length=200)],
        area: Annotated[str | None, Field(max_length=200)] = None,
    ) -> Explanation:
        """Where the catalogue would send a case today, by which rule and on whose word."""
        return explain_dispatch(policies, service_code, area, database.clock.now())
