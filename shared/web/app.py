"""The application that every service serves: its routers inside the common edge."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .answers import handle
from .api_keys import ApiKeys
from .callers import SignInNeeded
from .edge import Edge
from .openapi import PROBLEM_RESPONSES, describe
from .pages import Pages
from .problems import Problem, problem_response
from .session import Sessions
from .settings import WebSettings
from .state import WebState
from .static import static_router

Ready = Callable[[], Awaitable[dict[str, str]]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_READY_SECONDS = 5.0


def create_app(
    service: str,
    *,
    title: str,
    routers: Sequence[APIRouter],
    settings: WebSettings,
    ready: Ready,
    lifespan: Lifespan | None = None,
    pages: Pages | None = None,
) -> FastAPI:
    """The ASGI application of `service`.

    `ready` names what is not ready, by part and reason; nothing named is ready. `pages` are the service's
    own, so that its texts `problem.<slug>.title` and `.detail` are found when an error is shown as a page.
    Raises ValueError or pydantic.ValidationError for a bad API_KEYS_FILE.
    """
    app = FastAPI(
        title=title,
        version="1",
        openapi_url=f"/api/{service}/openapi.json",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        responses=PROBLEM_RESPONSES,
        lifespan=lifespan,
    )
    app.state.web = WebState(
        settings=settings,
        sessions=Sessions(settings),
        csrf_key=settings.key("csrf"),
        api_keys=ApiKeys.load(settings.api_keys_file),
        pages=pages or Pages(),
    )
    for kind in (HTTPException, RequestValidationError, ValidationError, SignInNeeded):
        app.add_exception_handler(kind, handle)
    app.add_middleware(Edge, service=service, https=settings.https)
    app.include_router(_machine_room(ready))
    app.include_router(static_router)
    for router in routers:
        app.include_router(router)
    describe(app)
    return app


def _machine_room(ready: Ready) -> APIRouter:
    """What operators and supervisors ask."""
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"status": "alive"})

    @router.get("/readyz")
    async def readyz(request: Request) -> Response:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                missing = await ready()
        except TimeoutError:
            missing = {"ready": f"the check itself took longer than {_READY_SECONDS:.0f} s"}
        if not missing:
            return JSONResponse({"status": "ready"})
        return problem_response(
            Problem(
                503,
                "not-ready",
                f"{request.app.title} is not ready",
                "; ".join(f"{part}: {reason}" for part, reason in missing.items()),
                headers={"Retry-After": "5"},
                not_ready=missing,
            )
        )

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router
