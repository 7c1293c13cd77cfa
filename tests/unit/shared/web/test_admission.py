"""Beyond the limit a crowd is answered 503 at once, and nobody waits longer than the limit for an answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.requests import Request

from shared.web.app import create_app
from shared.web.health import none
from shared.web.pages import Pages
from shared.web.problems import TYPE_PREFIX
from shared.web.settings import WebSettings
from shared.web.sse import OPEN
from shared.web.static import static_url
from tests.unit.shared.web.responses import problem
from tests.waiting import until

LIMIT = 3
BROWSER = {"Accept": "text/html", "Accept-Language": "en"}


class House:
    """An application whose answers wait at a door."""

    def __init__(self, settings: WebSettings, pages: Pages) -> None:
        self.door = asyncio.Event()
        self.inside = 0
        router = APIRouter()

        @router.api_route("/api/sample/v1/wait", methods=["GET", "POST"])
        @router.get("/wait")
        async def wait(request: Request) -> int:
            self.inside += 1
            try:
                await request.body()
                await self.door.wait()
            finally:
                self.inside -= 1
            return self.inside

        @router.get("/api/sample/v1/stream", response_class=EventSourceResponse)
        async def stream() -> AsyncIterator[ServerSentEvent]:
            yield OPEN
            await self.door.wait()

        self.app: FastAPI = create_app(
            "sample", title="Sample", routers=[router], settings=settings, ready=none, pages=pages
        )

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://127.0.0.1:8080")

    async def fill(self, client: httpx.AsyncClient) -> list[asyncio.Task[httpx.Response]]:
        """As many requests as may be worked on."""
        waiting = [asyncio.create_task(client.get("/api/sample/v1/wait")) for _ in range(LIMIT)]
        await until(lambda: self.inside == LIMIT, "all are inside")
        return waiting


@pytest.fixture
def house(settings: WebSettings, sample_pages: Pages) -> Callable[..., House]:
    def make(**limits: Any) -> House:
        bounds = {"request_limit": LIMIT, "stream_limit": 1, "request_seconds": 30.0} | limits
        return House(settings.model_copy(update=bounds), sample_pages)

    return make


async def test_what_comes_on_top_is_answered_at_once_and_afterwards_all_is_as_before(
    house: Callable[..., House],
) -> None:
    crowded = house()
    async with crowded.client() as client:
        waiting = await crowded.fill(client)
        refused = await client.get("/api/sample/v1/wait")
        assert problem(refused)["type"] == TYPE_PREFIX + "overloaded"
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert crowded.inside == LIMIT  # it was not begun
        crowded.door.set()
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
        assert (await client.get("/api/sample/v1/wait")).status_code == 200


async def test_a_browser_gets_a_page_in_its_language(house: Callable[..., House]) -> None:
    crowded = house()
    async with crowded.client() as client:
        waiting = await crowded.fill(client)
        page = await client.get("/wait", headers=BROWSER)
        assert page.status_code == 503
        assert "Too many people" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "人太多" in (await client.get("/wait", headers=BROWSER | {"Accept-Language": "zh"})).text
        crowded.door.set()
        await asyncio.gather(*waiting)


async def test_health_metrics_and_static_files_are_always_answered(house: Callable[..., House]) -> None:
    crowded = house()
    async with crowded.client() as client:
        waiting = await crowded.fill(client)
        await client.get("/api/sample/v1/wait")
        for path in ("/healthz", "/readyz", "/metrics", static_url("civicloom.css")):
            assert (await client.get(path)).status_code == 200, path
        metrics = (await client.get("/metrics")).text
        assert f'civicloom_http_in_progress{{kind="request",service="sample"}} {LIMIT}.0' in metrics
        assert 'civicloom_http_shed_total{service="sample",why="request"}' in metrics
        crowded.door.set()
        await asyncio.gather(*waiting)


async def test_an_answer_that_does_not_come_is_503_within_the_limit(house: Callable[..., House]) -> None:
    slow = house(request_seconds=0.2)
    async with slow.client() as client, asyncio.timeout(5):
        answer = await client.get("/api/sample/v1/wait")
        assert problem(answer)["type"] == TYPE_PREFIX + "too-slow"
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert slow.inside == 0  # it is no longer worked on
        assert "too long" in (await client.get("/wait", headers=BROWSER)).text


async def test_a_body_that_comes_slowly_is_not_the_services_slowness(house: Callable[..., House]) -> None:
    slow = house(request_seconds=0.2)
    slow.door.set()

    async def body() -> AsyncIterator[bytes]:
        for _ in range(4):
            await asyncio.sleep(0.1)
            yield b"x"

    async with slow.client() as client:
        assert (await client.post("/api/sample/v1/wait", content=body())).status_code == 200


async def test_streams_are_counted_apart_and_outlast_the_limit(house: Callable[..., House]) -> None:
    busy = house(request_seconds=0.2)
    first = asyncio.create_task(stream(busy.app))
    await asyncio.sleep(0.5)
    async with busy.client() as client:
        assert not first.done()
        assert await stream(busy.app) == 503
        waiting = [asyncio.create_task(client.get("/api/sample/v1/wait")) for _ in range(LIMIT)]
        await until(lambda: busy.inside == LIMIT, "the stream takes no place of a request")
        busy.door.set()
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
        assert await first == 200
        assert await stream(busy.app) == 200


async def stream(app: FastAPI) -> int:
    """Reads a stream to its end, as a browser would; the status."""
    status: list[int] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: dict[str, Any]) -> None:
        status.append(message.get("status", 0))

    path = "/api/sample/v1/stream"
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
    }
    scope |= {"raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http"}
    await app(scope | {"headers": [(b"accept", b"text/event-stream")]}, receive, send)
    return status[0]
