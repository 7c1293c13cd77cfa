"""Health checks for operators and supervisors: liveness, readiness and metrics."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.web.problems import Problem, problem_response

Reasons = Callable[[], Awaitable[dict[str, str]]]
"""Returns the parts that do not work as they should, each with the reason; empty if all do."""

# The proxy of the public address asks one service after another. It passes what each of them answered in this
# header to the services that follow, as `X-Degraded-<service>`.
DEGRADED_HEADER = "X-Degraded"

_READY_SECONDS = 2.5
_BETWEEN = "; "
_MOST_HEADER = 2000
_NOT_PRINTABLE = re.compile(r"[^ -~]+")

router = APIRouter(include_in_schema=False)


async def none() -> dict[str, str]:
    """No reasons: all is as it should be."""
    return {}


@dataclass(frozen=True, slots=True)
class HealthChecks:
    """The checks of one service, in `app.state.health`.

    Attributes
    ----------
    service
        Its name in the reports.
    ready
        What keeps the service from working: `/readyz` answers 503.
    degraded
        What waits while all else works, such as a lane that is not configured: `/readyz` answers 200 and
        names it.
    """

    service: str
    ready: Reasons
    degraded: Reasons


async def health_checks(request: Request) -> HealthChecks:
    """The checks of the application that serves this request."""
    checks: HealthChecks = request.app.state.health
    return checks


@router.get("/healthz")
async def healthz() -> Response:
    """200 while the process is alive."""
    return JSONResponse({"status": "alive"})


@router.get("/readyz")
async def readyz(request: Request, checks: Annotated[HealthChecks, Depends(health_checks)]) -> Response:
    """200 if the service works, with the degraded parts, also those that the headers name; else 503."""
    missing, waiting = await _within(_READY_SECONDS, checks)
    own = [f"{checks.service} {part}: {reason}" for part, reason in waiting.items()]
    parts = list(dict.fromkeys([*_passed_on(request), *own]))
    if missing:
        return problem_response(_not_ready(request.app.title, missing, parts))
    if not parts:
        return JSONResponse({"status": "ready"})
    headers = {DEGRADED_HEADER: _NOT_PRINTABLE.sub(" ", _BETWEEN.join(parts))[:_MOST_HEADER]}
    return JSONResponse({"status": "ready", "degraded": parts}, headers=headers)


async def _within(seconds: float, checks: HealthChecks) -> tuple[dict[str, str], dict[str, str]]:
    """What is missing and what waits. A check that hangs is missing; not even its end is waited for."""

    async def both() -> tuple[dict[str, str], dict[str, str]]:
        return await checks.ready(), await checks.degraded()

    checking = asyncio.create_task(both())
    try:
        await asyncio.wait({checking}, timeout=seconds)
        if checking.done():
            return checking.result()
    finally:
        checking.cancel()
    return {"ready": f"the check itself took longer than {seconds:g} s"}, {}


@router.get("/metrics")
async def metrics() -> Response:
    """The metrics of the process in Prometheus' text format."""
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _not_ready(title: str, missing: dict[str, str], degraded: list[str]) -> Problem:
    return Problem(
        503,
        "not-ready",
        f"{title} is not ready",
        "; ".join(f"{part}: {reason}" for part, reason in missing.items()),
        headers={"Retry-After": "5"},
        not_ready=missing,
        **({"degraded": degraded} if degraded else {}),
    )


def _passed_on(request: Request) -> list[str]:
    prefix = f"{DEGRADED_HEADER}-".lower()
    values = [value for name, value in request.headers.items() if name.startswith(prefix)]
    return [part for value in values for part in value[:_MOST_HEADER].split(_BETWEEN) if part]
