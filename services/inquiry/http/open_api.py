"""/api/inquiry/v1 for everybody: intake, what can be asked for, and how deadlines come about."""

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import JSONResponse

from services.inquiry.commands import CaseCommands
from services.inquiry.domain.clock import first_clock, rework_clock
from services.inquiry.domain.concern import Concern, Flaw, flaws_of
from services.inquiry.http.answers import explained, problem_of, taken
from services.inquiry.http.bodies import NewInquiry
from shared.contracts.inquiry import CaseKind
from shared.errors import Conflict, EventTooLarge
from shared.packs import PackNotHere
from shared.policy.errors import CalendarRange
from shared.web.bodies import read_model
from shared.web.callers import Anonymous, Caller, caller
from shared.web.keys import keyed, keyed_stranger
from shared.web.openapi import takes
from shared.web.problems import Problem
from shared.webhooks import webhook_url

BASE = "/api/inquiry/v1"


def open_api(commands: CaseCommands, *, plain_http: bool) -> APIRouter:
    """The routes that need neither secret nor sign-in; `plain_http`: a webhook may use it."""
    router = APIRouter(prefix=BASE, tags=["intake"])
    policies = commands.policies

    @router.post("/inquiries", status_code=201, openapi_extra=takes(NewInquiry))
    async def receive(request: Request, who: Annotated[Caller, Depends(caller)]) -> JSONResponse:
        """Takes a concern in. Number, secret, deadline and receipt at once; the same for the same key.

        With `contact.webhook` the answer also has `webhook_secret` (`whsec_...`), and each step of the case
        is posted there, signed as Standard Webhooks says and without anybody's words: `{"type":
        "inquiry.replied", "timestamp": ..., "data": {"number": ..., "step": "inquiry.replied", "url": ...}}`.
        2xx takes it, 410 ends it, and all else is tried again, eight times over some 31 hours in all, under
        the same `webhook-id`.

        Whoever sends it without an API key or a session shares the keys with everybody else: then an
        Idempotency-Key has at least 16 characters, is random and is not made from the body.
        """
        new = await read_model(request, NewInquiry)
        concern = new.concern(policies.current, "api")
        if flaws := [*flaws_of(concern, policies.current), *_flaws_of_webhook(concern, plain_http)]:
            raise invalid(flaws)
        actor = "citizen" if isinstance(who, Anonymous) else who.actor
        try:
            key = keyed_stranger if isinstance(who, Anonymous) else keyed
            value = await commands.batcher.take_in(await key(request, actor), concern, actor)
        except Conflict as error:
            raise problem_of(error) from error
        except (CalendarRange, EventTooLarge) as error:
            raise Problem(422, "cannot-take-in", "This concern cannot be taken in", str(error)) from error
        answer = taken(value, commands.intake.secret)
        if concern.contact is not None and concern.contact.webhook is not None:
            answer["webhook_secret"] = commands.intake.webhook_secret(answer["id"])
        return JSONResponse(answer, 201, headers={"Location": f"{BASE}/inquiries/{answer['number']}"})

    @router.get("/services")
    async def services() -> dict[str, Any]:
        """What can be asked for: the taxonomy, the kinds and the areas of the pack in force."""
        pack = policies.current
        return {
            "policy_version": pack.version,
            "services": [
                service.model_dump(exclude={"source", "active"})
                for service in pack.services
                if service.active
            ],
            "kinds": [{"code": kind.code, "title": kind.title.model_dump()} for kind in pack.kinds],
            "areas": [area.model_dump(exclude={"source"}) for area in pack.areas],
        }

    @router.get("/deadlines")
    async def deadline(
        *,
        kind: CaseKind,
        service_code: str,
        start: dt.datetime,
        urgent: bool = False,
        rework: bool = False,
        version: Annotated[str | None, Query(max_length=200)] = None,
    ) -> dict[str, Any]:
        """When the reply is due to a case accepted at `start`, step by step: recomputes any deadline.

        With `rework` when it is due again to one reopened at `start` (重办).
        """
        try:
            pack = await policies.find(commands.database.pool, version)
        except PackNotHere:
            raise Problem(
                404, "unknown-version", "No such version of the policy pack was ever kept"
            ) from None
        if service_code not in pack.services_by_code or kind not in pack.kinds_by_code:
            raise Problem(422, "unknown-code", "The pack does not know this kind or service")
        if start.tzinfo is None:
            raise Problem(422, "naive-moment", "`start` needs an offset, such as 2026-11-24T09:30:00+08:00")
        try:
            clock_of = rework_clock if rework else first_clock
            return explained(clock_of(pack, kind, service_code, urgent, start), pack)
        except (CalendarRange, OverflowError) as error:
            raise Problem(422, "beyond-calendar", "The calendar does not reach that far") from error

    return router


def _flaws_of_webhook(concern: Concern, plain_http: bool) -> list[Flaw]:
    url = concern.contact.webhook if concern.contact else None
    if url is None or webhook_url(url, plain_http=plain_http) is not None:
        return []
    return [
        Flaw("contact/webhook", "webhook", "expected an https address without user, password and fragment")
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
