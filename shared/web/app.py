"""The application that every service serves: its routers inside the common edge."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from shared.web.answers import handle
from shared.web.api_keys import ApiKeys
from shared.web.callers import SignInNeeded
from shared.web.edge import Edge
from shared.web.health import Reasons, health_router, none
from shared.web.openapi import PROBLEM_RESPONSES, describe
from shared.web.pages import Pages
from shared.web.session import Sessions
from shared.web.settings import WebSettings
from shared.web.state import UnitName, WebState
from shared.web.static import static_router

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def as_code(code: str, language: str) -> str:  # noqa: ARG001  (a UnitName)
    """For who knows no names."""
    return code


def create_app(
    service: str,
    *,
    title: str,
    routers: Sequence[APIRouter],
    settings: WebSettings,
    ready: Reasons,
    degraded: Reasons = none,
    lifespan: Lifespan | None = None,
    pages: Pages | None = None,
    unit_name: UnitName = as_code,
    context: object = None,
) -> FastAPI:
    """The ASGI application of `service`.

    `ready` names what is not ready, by part and reason; nothing named is ready. `degraded` names what waits
    while the service works. `pages` are the service's
    own, so that its texts `problem.<slug>.title` and `.detail` are found when an error is shown as a page.
    `unit_name` is how the head of a page names the unit of the person who is signed in. `context` is the
    service's own: its routes find it in `request.app.state.context`.
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
        unit_name=unit_name,
    )
    app.state.context = context
    for kind in (HTTPException, RequestValidationError, ValidationError, SignInNeeded):
        app.add_exception_handler(kind, handle)
    app.add_middleware(Edge, service=service, https=settings.https)
    app.include_router(health_router(service, ready, degraded))
    app.include_router(static_router)
    for router in routers:
        app.include_router(router)
    describe(app)
    return app
