"""/api/inquiry/v1 for whoever shows the secret of a case: tracking, receipt, evaluation, rework, erasure."""

from typing import Annotated, Any

from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import Response

from services.inquiry.commands import CaseCommands
from services.inquiry.http.access import SECRET_HEADER, Access, Found
from services.inquiry.http.answers import problem_of, whole_case
from services.inquiry.http.bodies import ErasureBody, EvaluationBody, ReopenBody
from services.inquiry.http.open_api import BASE
from services.inquiry.queries import QUERIES, case_of
from shared.contracts.inquiry import Evaluation
from shared.errors import Conflict
from shared.web.bodies import read_model
from shared.web.callers import current_person
from shared.web.keys import keyed
from shared.web.openapi import takes
from shared.web.problems import Problem

RECEIPT_TYPE = "application/cloudevents+json"
Secret = Annotated[str | None, Header(alias=SECRET_HEADER)]


def case_api(commands: CaseCommands, access: Access) -> APIRouter:
    """The routes of one case; `reference` is its number or its id."""
    router = APIRouter(prefix=f"{BASE}/inquiries/{{reference}}", tags=["case"])
    policies, pool = commands.policies, commands.database.pool

    @router.get("")
    async def track(request: Request, reference: str, secret: Secret = None) -> dict[str, Any]:
        """The case with its timeline, for whoever shows the secret, or for a clerk or oversight."""
        person = current_person(request)
        if secret is None and person is not None and person.roles & {"clerk", "oversight"}:
            found = await access.get(reference)
        else:
            found = await access.open(request, reference, secret)
        pack = await policies.find(pool, case_of(found).policy_version)
        steps = await pool.fetch(QUERIES["read_steps"], found["id"])
        return whole_case(found, steps, pack, commands.database.clock.now())

    @router.get("/receipt")
    async def receipt(request: Request, reference: str, secret: Secret = None) -> Response:
        """The event of the intake, byte for byte as it was committed and logged."""
        return receipt_of(await access.open(request, reference, secret))

    @router.post("/evaluation", openapi_extra=takes(EvaluationBody))
    async def evaluate(request: Request, reference: str, secret: Secret = None) -> dict[str, Any]:
        """评价: contacted, solved, 1 to 5. Not solved reopens the case while the pack leaves a rework."""
        body = await read_model(request, EvaluationBody)
        found = await access.open(request, reference, secret or body.secret)
        evaluation = Evaluation(contacted=body.contacted, solved=body.solved, rating=body.rating)
        try:
            request_ = await keyed(request, "citizen")
            return (await commands.evaluate(request_, found["id"], evaluation, body.comment)).body
        except Conflict as error:
            raise problem_of(error) from error

    @router.post("/reopen", openapi_extra=takes(ReopenBody))
    async def reopen(request: Request, reference: str, secret: Secret = None) -> dict[str, Any]:
        """重办, in the pack's window after closing."""
        body = await read_model(request, ReopenBody)
        found = await access.open(request, reference, secret or body.secret)
        try:
            return (await commands.reopen(await keyed(request, "citizen"), found["id"], body.comment)).body
        except Conflict as error:
            raise problem_of(error) from error

    @router.post("/erasure", openapi_extra=takes(ErasureBody))
    async def erase(request: Request, reference: str, secret: Secret = None) -> dict[str, Any]:
        """Erases words and contact: the citizen with the secret, a clerk or oversight with a basis."""
        body = await read_model(request, ErasureBody)
        person = current_person(request)
        shown = secret or body.secret
        if shown is None and person is not None and person.roles & {"clerk", "oversight"}:
            found, actor = await access.get(reference), person.actor
        else:
            found, actor = await access.open(request, reference, shown), "citizen"
            if body.basis != "citizen_request":
                raise Problem(403, "not-your-basis", "A citizen erases by own request alone")
        try:
            return (await commands.erase(await keyed(request, actor), found["id"], body.basis, actor)).body
        except Conflict as error:
            raise problem_of(error) from error

    return router


def receipt_of(found: Found) -> Response:
    """The receipt as a file."""
    return Response(
        found["value"],
        media_type=RECEIPT_TYPE,
        headers={"Content-Disposition": f'attachment; filename="{found["number"]}.receipt.json"'},
    )
