"""Readiness names what is missing and what is degraded."""

from collections.abc import Callable

import httpx
from fastapi import FastAPI

from shared.web.settings import WebSettings
from tests.unit.shared.web.responses import problem


async def test_readiness_names_what_is_missing(
    make_app: Callable[..., FastAPI], client_of: Callable[[FastAPI], httpx.AsyncClient], settings: WebSettings
) -> None:
    async def not_ready() -> dict[str, str]:
        return {"relay": "no broker"}

    async with client_of(make_app(settings, not_ready)) as client:
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert problem(response)["not_ready"] == {"relay": "no broker"}
        assert (await client.get("/healthz")).status_code == 200


async def test_what_is_degraded_is_named_and_leaves_the_service_ready(
    make_app: Callable[..., FastAPI], client_of: Callable[[FastAPI], httpx.AsyncClient], settings: WebSettings
) -> None:
    async def no_mail() -> dict[str, str]:
        return {"email": "SMTP_URL is not set"}

    async with client_of(make_app(settings, degraded=no_mail)) as client:
        response = await client.get("/readyz")
        assert response.status_code == 200
        assert response.json() == {"status": "ready", "degraded": ["sample email: SMTP_URL is not set"]}
        # As the one address asks: what the services before have said comes back with what this one says.
        before = {"X-Degraded-Audit": "audit disk: nearly full"}
        response = await client.get("/readyz", headers=before)
        assert response.headers["x-degraded"] == "audit disk: nearly full; sample email: SMTP_URL is not set"
        assert len(response.json()["degraded"]) == 2


async def test_readiness_says_nothing_of_degraded_parts_where_there_are_none(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/readyz")
    assert response.json() == {"status": "ready"}
    assert "x-degraded" not in response.headers
