"""The application that every service serves: its routers inside the common edge."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from shared.web import health, static
from shared.web.admission import Admission
from shared.web.answers import handle
from shared.web.api_keys import ApiKeys
from shared.web.callers import SignInNeeded
from shared.web.edge import EdgeMiddleware
from shared.web.forwarded import ForwardedMiddleware
from shared.web.health import HealthChecks, Reasons, none
from shared.web.openapi import PROBLEM_RESPONSES, Application
from shared.web.pages import Pages
from shared.web.session import Sessions
from shared.web.settings import WebSettings
from shared.web.state import UnitName, WebState

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def as_code(code: str, language: str) -> str:  # noqa: ARG001  (the signature of UnitName)
    """A UnitName without names: the code itself."""
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
    """The ASGI application of a service.

    Parameters
    ----------
    service
        Its name in addresses, metrics and health reports.
    title
        Its name in the OpenAPI document.
    routers
        The service's own routes; health checks and static files are added.
    ready, degraded
        What is not ready, and what waits while the service works (`shared.web.health`).
    lifespan
        FastAPI's lifespan.
    pages
        The service's pages. An error page takes the texts `problem.<slug>.title` and `.detail` from them.
    unit_name
        Gives the name of a signed-in person's unit for the head of a page.
    context
        An object of the service, which its routes find in `request.app.state.context`.

    Raises
    ------
    ValueError, pydantic.ValidationError
        for an invalid API_KEYS_FILE.
    """
    app = Application(
        title=title,
        version="1",
        openapi_url=f"/api/{service}/openapi.json",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        responses=PROBLEM_RESPONSES,
        lifespan=lifespan,
        # Traces are made from the log (services/audit/tracing); asking costs each request three percent.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.web = _web_state(settings, pages or Pages(), unit_name)
    app.state.health = HealthChecks(service, ready, degraded)
    app.state.context = context
    for kind in (HTTPException, RequestValidationError, ValidationError, SignInNeeded):
        app.add_exception_handler(kind, handle)
    _add_middleware(app, service, settings)
    # The service's own first: each router before the one that fits is asked.
    for router in (*routers, health.router, static.router):
        app.include_router(router)
    return app


def _add_middleware(app: FastAPI, service: str, settings: WebSettings) -> None:
    """The innermost first."""
    app.add_middleware(
        Admission,
        service=service,
        requests=settings.request_limit,
        streams=settings.stream_limit,
        seconds=settings.request_seconds,
    )
    app.add_middleware(EdgeMiddleware, service=service, https=settings.https)
    app.add_middleware(ForwardedMiddleware, trusted=settings.trusted_proxies)


def _web_state(settings: WebSettings, pages: Pages, unit_name: UnitName) -> WebState:
    return WebState(
        settings=settings,
        sessions=Sessions(settings),
        csrf_key=settings.key("csrf"),
        api_keys=ApiKeys.load(settings.api_keys_file),
        pages=pages,
        unit_name=unit_name,
    )
