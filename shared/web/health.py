"""Health checks for operators and supervisors: liveness, readiness and metrics."""

import asyncio
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

_READY_SECONDS = 2.5
# A proxy names its client in one of these, whatever the client itself sends. Nothing stands between a service
# and those who ask it at its own port: supervisors, health checks of containers, `civicloom ready`.
_OF_PROXIES = ("x-forwarded-for", "forwarded")

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
    """200 if the service works, else 503. Parts are named only to those who ask at the service's own port."""
    missing, waiting = await _within(_READY_SECONDS, checks)
    if any(name in request.headers for name in _OF_PROXIES):
        return problem_response(_not_ready("The service")) if missing else JSONResponse({"status": "ready"})
    parts = [f"{checks.service} {part}: {reason}" for part, reason in waiting.items()]
    degraded = {"degraded": parts} if parts else {}
    if missing:
        detail = "; ".join(f"{part}: {reason}" for part, reason in missing.items())
        return problem_response(_not_ready(request.app.title, detail, not_ready=missing, **degraded))
    return JSONResponse({"status": "ready", **degraded})


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


def _not_ready(what: str, detail: str | None = None, **parts: object) -> Problem:
    return Problem(503, "not-ready", f"{what} is not ready", detail, headers={"Retry-After": "5"}, **parts)
