"""Readiness names what is missing and what is degraded."""

from collections.abc import Callable

import httpx
import pytest
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


OUTSIDE = [{"X-Forwarded-For": "198.51.100.2"}, {"X-Forwarded-For": ""}, {"Forwarded": "for=198.51.100.2"}]


@pytest.mark.parametrize("headers", OUTSIDE)
async def test_outside_it_says_whether_the_service_is_ready_and_nothing_more(
    make_app: Callable[..., FastAPI],
    client_of: Callable[[FastAPI], httpx.AsyncClient],
    settings: WebSettings,
    headers: dict[str, str],
) -> None:
    async def reasons() -> dict[str, str]:
        return {"relay": "no broker at kafka:9092"}

    async with client_of(make_app(settings, reasons, degraded=reasons)) as client:
        response = await client.get("/readyz", headers=headers)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "5"
        assert problem(response) == {
            "type": "urn:civicloom:problem:not-ready",
            "title": "The service is not ready",
            "status": 503,
        }
    async with client_of(make_app(settings, degraded=reasons)) as client:
        response = await client.get("/readyz", headers=headers)
        assert (response.status_code, response.json()) == (200, {"status": "ready"})
        assert "kafka" not in str(response.headers)


async def test_readiness_says_nothing_of_degraded_parts_where_there_are_none(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/readyz")
    assert response.json() == {"status": "ready"}
