"""/api/inquiry/v1 for callers who show the secret of a case: tracking, receipt, evaluation, rework, erasure.

`reference` is the number of the case or its id.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import Response

from services.inquiry.commands import CITIZEN
from services.inquiry.http.access import SECRET_HEADER
from services.inquiry.http.answers import API, errors_as_problems, receipt_file, whole_case
from services.inquiry.http.bodies import ErasureBody, EvaluationBody, ReopenBody
from services.inquiry.http.context import Ctx
from services.inquiry.queries import read_steps
from shared.contracts.inquiry import Evaluation
from shared.web.bodies import read_model
from shared.web.callers import current_person
from shared.web.keys import keyed
from shared.web.openapi import takes
from shared.web.problems import Problem

router = APIRouter(prefix=f"{API}/inquiries/{{reference}}", tags=["case"])
Secret = Annotated[str | None, Header(alias=SECRET_HEADER)]
_NEED_NO_SECRET = {"clerk", "oversight"}


@router.get("")
async def track(request: Request, ctx: Ctx, reference: str, secret: Secret = None) -> dict[str, Any]:
    """The case with its timeline, for a caller with the secret, or for a clerk or oversight."""
    person = current_person(request)
    if secret is None and person is not None and person.roles & _NEED_NO_SECRET:
        record = await ctx.access.get(reference)
    else:
        record = await ctx.access.open(request, reference, secret)
    pack = await ctx.policies.find(ctx.database.pool, record.case.policy_version)
    steps = await read_steps(ctx.database.pool, record.id)
    return whole_case(record, steps, pack, ctx.database.clock.now())


@router.get("/receipt")
async def receipt(request: Request, ctx: Ctx, reference: str, secret: Secret = None) -> Response:
    """The event of the intake, byte for byte as it was committed and logged."""
    return receipt_file(await ctx.access.open(request, reference, secret))


@router.post("/evaluation", openapi_extra=takes(EvaluationBody))
async def evaluate(request: Request, ctx: Ctx, reference: str, secret: Secret = None) -> dict[str, Any]:
    """评价: contacted, solved, 1 to 5. Not solved reopens the case while the pack leaves a rework."""
    body = await read_model(request, EvaluationBody)
    record = await ctx.access.open(request, reference, secret or body.secret)
    evaluation = Evaluation(contacted=body.contacted, solved=body.solved, rating=body.rating)
    key = await keyed(request, CITIZEN)
    with errors_as_problems():
        return (await ctx.commands.evaluate(key, record.id, evaluation, body.comment)).body


@router.post("/reopen", openapi_extra=takes(ReopenBody))
async def reopen(request: Request, ctx: Ctx, reference: str, secret: Secret = None) -> dict[str, Any]:
    """重办, in the pack's window after closing."""
    body = await read_model(request, ReopenBody)
    record = await ctx.access.open(request, reference, secret or body.secret)
    key = await keyed(request, CITIZEN)
    with errors_as_problems():
        return (await ctx.commands.reopen(key, record.id, body.comment)).body


@router.post("/erasure", openapi_extra=takes(ErasureBody))
async def erase(request: Request, ctx: Ctx, reference: str, secret: Secret = None) -> dict[str, Any]:
    """Erases words and contact: the citizen with the secret, a clerk or oversight with a basis."""
    body = await read_model(request, ErasureBody)
    person = current_person(request)
    shown = secret or body.secret
    if shown is None and person is not None and person.roles & _NEED_NO_SECRET:
        record, actor = await ctx.access.get(reference), person.actor
    else:
        record, actor = await ctx.access.open(request, reference, shown), CITIZEN
        if body.basis != "citizen_request":
            raise Problem(403, "not-your-basis", "A citizen erases by own request alone")
    key = await keyed(request, actor)
    with errors_as_problems():
        return (await ctx.commands.erase(key, record.id, body.basis, actor)).body
