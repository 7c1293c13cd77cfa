"""What operators and supervisors ask: is the process alive, is the service ready, what does it measure."""

import asyncio
import re
from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.web.problems import Problem, problem_response

Reasons = Callable[[], Awaitable[dict[str, str]]]
"""Parts that are not as they should be, each with the reason; empty if all are."""

# The proxy of the one address asks service after service, and hands on what each has said in this header as
# `X-Degraded-<service>` to those that follow.
DEGRADED_HEADER = "X-Degraded"

_READY_SECONDS = 5.0
_BETWEEN = "; "
_MOST_HEADER = 2000
_PLAIN = re.compile(r"[^ -~]+")


async def none() -> dict[str, str]:
    """For who has no such parts."""
    return {}


def health_router(service: str, ready: Reasons, degraded: Reasons) -> APIRouter:
    """`/healthz`, `/readyz`, `/metrics`.

    `ready` names what keeps the service from working: 503. `degraded` names what waits while all else works
    (a lane that nobody has set up): 200, and whoever looks after the installation can read it.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"status": "alive"})

    @router.get("/readyz")
    async def readyz(request: Request) -> Response:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                missing, waits = await ready(), await degraded()
        except TimeoutError:
            missing, waits = {"ready": f"the check itself took longer than {_READY_SECONDS:.0f} s"}, {}
        own = [f"{service} {part}: {reason}" for part, reason in waits.items()]
        parts = list(dict.fromkeys([*_handed_on(request), *own]))
        if missing:
            return problem_response(_not_ready(request.app.title, missing, parts))
        if not parts:
            return JSONResponse({"status": "ready"})
        headers = {DEGRADED_HEADER: _PLAIN.sub(" ", _BETWEEN.join(parts))[:_MOST_HEADER]}
        return JSONResponse({"status": "ready", "degraded": parts}, headers=headers)

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router


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


def _handed_on(request: Request) -> list[str]:
    prefix = f"{DEGRADED_HEADER}-".lower()
    said = [value for name, value in request.headers.items() if name.startswith(prefix)]
    return [part for value in said for part in value[:_MOST_HEADER].split(_BETWEEN) if part]
