"""/api/inquiry/v1 for everybody: intake, the choices of the pack, and deadlines recomputed."""

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse

from services.inquiry.domain.clock import first_clock, rework_clock
from services.inquiry.domain.concern import Concern, Flaw, flaws_of
from services.inquiry.http.answers import API, errors_as_problems, explained, intake_answer
from services.inquiry.http.bodies import NewInquiry
from services.inquiry.http.context import Ctx
from shared.contracts.inquiry import CaseKind
from shared.errors import EventTooLarge
from shared.packs import PackNotHere
from shared.policy.errors import CalendarRange
from shared.web.bodies import read_model
from shared.web.callers import Anonymous, caller
from shared.web.keys import keyed, keyed_stranger
from shared.web.openapi import takes
from shared.web.problems import Problem
from shared.webhooks import webhook_url

router = APIRouter(prefix=API, tags=["intake"])


@router.post("/inquiries", status_code=201, openapi_extra=takes(NewInquiry))
async def receive(request: Request, ctx: Ctx) -> JSONResponse:
    """Takes a concern in. Number, secret, deadline and receipt at once; the same for the same key.

    With `contact.webhook` the answer also has `webhook_secret` (`whsec_...`), and each step of the case
    is posted there, signed according to Standard Webhooks and without anybody's words: `{"type":
    "inquiry.replied", "timestamp": ..., "data": {"number": ..., "step": "inquiry.replied", "url": ...}}`.
    2xx takes it, 410 ends the deliveries, and everything else is retried, eight times over some 31 hours
    in all, under the same `webhook-id`.

    Callers without an API key or a session share one key space: their Idempotency-Key has at least 16
    characters, is random and is not made from the body.
    """
    by = caller(request)
    new = await read_model(request, NewInquiry)
    concern = new.concern(ctx.policies.current, "api")
    flaws = flaws_of(concern, ctx.policies.current)
    if flaws := [*flaws, *webhook_flaws(concern, plain_http=ctx.plain_http_webhooks)]:
        raise invalid(flaws)
    actor = "citizen" if isinstance(by, Anonymous) else by.actor
    key = keyed_stranger if isinstance(by, Anonymous) else keyed
    try:
        with errors_as_problems():
            value = await ctx.intake_batcher.take_in(await key(request, actor), concern, actor)
    except (CalendarRange, EventTooLarge) as error:
        raise Problem(422, "cannot-take-in", "This concern cannot be taken in", str(error)) from error
    answer = intake_answer(value, ctx.intake.secret)
    if concern.contact is not None and concern.contact.webhook is not None:
        answer["webhook_secret"] = ctx.intake.webhook_secret(answer["id"])
    return JSONResponse(answer, 201, headers={"Location": f"{API}/inquiries/{answer['number']}"})


@router.get("/services")
async def services(ctx: Ctx) -> dict[str, Any]:
    """What can be asked for: the taxonomy, the kinds and the areas of the pack in force."""
    pack = ctx.policies.current
    return {
        "policy_version": pack.version,
        "services": [
            service.model_dump(exclude={"source", "active"}) for service in pack.services if service.active
        ],
        "kinds": [{"code": kind.code, "title": kind.title.model_dump()} for kind in pack.kinds],
        "areas": [area.model_dump(exclude={"source"}) for area in pack.areas],
    }


@router.get("/deadlines")
async def deadline(
    *,
    ctx: Ctx,
    kind: CaseKind,
    service_code: str,
    start: dt.datetime,
    urgent: bool = False,
    rework: bool = False,
    version: Annotated[str | None, Query(max_length=200)] = None,
) -> dict[str, Any]:
    """When the reply is due to a case accepted at `start`, step by step: recomputes any deadline.

    With `rework`, when it is due for a case reopened at `start` (重办).
    """
    try:
        pack = await ctx.policies.find(ctx.database.pool, version)
    except PackNotHere:
        raise Problem(404, "unknown-version", "No such version of the policy pack was ever kept") from None
    if service_code not in pack.services_by_code or kind not in pack.kinds_by_code:
        raise Problem(422, "unknown-code", "The pack does not know this kind or service")
    if start.tzinfo is None:
        raise Problem(422, "naive-moment", "`start` needs an offset, such as 2026-11-24T09:30:00+08:00")
    try:
        clock_of = rework_clock if rework else first_clock
        return explained(clock_of(pack, kind, service_code, urgent, start), pack)
    except (CalendarRange, OverflowError) as error:
        raise Problem(422, "beyond-calendar", "The calendar does not reach that far") from error


def webhook_flaws(concern: Concern, *, plain_http: bool) -> list[Flaw]:
    """The flaw of a webhook that publisher would refuse to call; `plain_http` allows it without TLS."""
    url = concern.contact.webhook if concern.contact else None
    if url is None or webhook_url(url, plain_http=plain_http) is not None:
        return []
    return [
        Flaw(
            "contact/webhook",
            "webhook",
            "expected an https address on port 443 or 8443, without user, password and fragment",
        )
    ]


def invalid(flaws: list[Flaw]) -> Problem:
    """422 in the form of all validation errors."""
    return Problem(
        422,
        "invalid",
        "The request is understood but not valid",
        "See errors: each names the member by a JSON pointer and says what is wrong with it.",
        errors=[{"pointer": f"/{flaw.member}", "code": flaw.code, "detail": flaw.detail} for flaw in flaws],
    )
