"""A crowd at one service that cannot keep up: it sheds, loses nothing, and is quick again soon."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.pair import Pair
from harness.installation import Installation
from tests.waiting import until

CROWD, LIMIT = 120, 20
AGAIN_SECONDS = 5.0
CONCERN = {"title": "路灯不亮", "text": "第三盏灯两天不亮了。", "service_code": "municipal-street-light"}
LATE = {"too-slow", "unavailable"}
BROWSER = {"Accept": "text/html", "Accept-Language": "en"}


@dataclass
class Crowd:
    """What a crowd was answered: how often what, the ids of what was taken in, and the longest waits."""

    taken: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    goes: asyncio.Event = field(default_factory=asyncio.Event)

    async def comes(self, url: str) -> None:
        """Asks until it `goes`."""
        limits = httpx.Limits(max_connections=CROWD + 5)
        async with (
            httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._watch_health(client))
            for _ in range(CROWD):
                group.create_task(self._insist(client))

    async def _insist(self, client: httpx.AsyncClient) -> None:
        """Asks until its concern is taken in, half a second after each refusal; then it has another one."""
        key = uuid.uuid4().hex
        while not self.goes.is_set():
            began = time.monotonic()
            answer = await client.post(
                "/api/inquiry/v1/inquiries", json=CONCERN, headers={"Idempotency-Key": key}
            )
            self.slowest = max(self.slowest, time.monotonic() - began)
            if answer.status_code == httpx.codes.CREATED:
                self.answers["taken"] += 1
                self.taken.append(answer.json()["id"])
                key = uuid.uuid4().hex
            else:
                assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
                assert answer.headers["retry-after"] == "5"
                self.answers[answer.json()["type"].rpartition(":")[2]] += 1
            await asyncio.sleep(0.5)

    async def _watch_health(self, client: httpx.AsyncClient) -> None:
        while not self.goes.is_set():
            assert (await client.get("/healthz")).status_code == httpx.codes.OK
            assert (await client.get("/readyz")).status_code == httpx.codes.OK
            await asyncio.sleep(0.5)


@asynccontextmanager
async def service(pair: Pair, folder: Path, **limits: str) -> AsyncIterator[Installation]:
    async with Installation(
        pair.database_url, pair.access, folder, services=["inquiry"], environment=limits
    ) as found:
        yield found


@asynccontextmanager
async def nothing_can_be_stored(installation: Installation) -> AsyncIterator[None]:
    """So that any machine is too slow for any crowd."""
    connection = await asyncpg.connect(installation.database_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE inquiry.aggregate")
            yield
    finally:
        await connection.close()


async def shed_page(url: str) -> str | None:
    page = await asyncio.to_thread(httpx.get, f"{url}/ask", headers=BROWSER, timeout=5)
    return page.text if page.status_code == httpx.codes.SERVICE_UNAVAILABLE else None


def slow_routes(metrics: str) -> list[str]:
    """The routes that took longer than five seconds, by the service's own clock: the crowd's is busy too."""
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            name, labels = sample.name, sample.labels
            if name.startswith("civicloom_http_request_seconds") and labels.get("le", "5.0") == "5.0":
                found[name, f"{labels['route']} {labels['status']}"] = sample.value
    within = {route: count for (name, route), count in found.items() if name.endswith("_bucket")}
    return [route for (name, route), n in found.items() if name.endswith("_count") and n > within[route]]


async def stored(installation: Installation) -> set[str]:
    connection = await asyncpg.connect(installation.database_url)
    try:
        return {row["id"] for row in await connection.fetch("SELECT id FROM inquiry.inquiry")}
    finally:
        await connection.close()


@pytest.mark.timeout(120)
async def test_what_is_too_much_is_shed_and_nothing_acknowledged_is_lost(
    pair: Pair, open_tmp_path: Path
) -> None:
    crowd = Crowd()
    async with service(pair, open_tmp_path, REQUEST_LIMIT=str(LIMIT)) as installation:
        url = installation.url("inquiry")
        async with nothing_can_be_stored(installation):
            coming = asyncio.create_task(crowd.comes(url))
            await until(lambda: crowd.answers["overloaded"] > CROWD, "the crowd is shed")
            page = await until(lambda: shed_page(url), "a page is shed: places are free for moments")
            assert "Too many people" in page
            await until(lambda: crowd.answers.keys() & LATE, "those who are inside are asked to come again")
            assert not crowd.taken
        await asyncio.sleep(AGAIN_SECONDS)
        crowd.goes.set()
        await coming
        assert len(crowd.taken) > CROWD, crowd.answers
        assert len(set(crowd.taken)) == len(crowd.taken)
        assert set(crowd.taken) <= await stored(installation)
        metrics = await asyncio.to_thread(httpx.get, f"{url}/metrics", timeout=5)
        assert slow_routes(metrics.text) == []
        began = time.monotonic()
        answer = await asyncio.to_thread(httpx.get, f"{url}/ask", timeout=5)
        assert answer.status_code == httpx.codes.OK
        assert time.monotonic() - began < 1


@pytest.mark.timeout(120)
async def test_without_a_bound_the_crowd_waits(pair: Pair, open_tmp_path: Path) -> None:
    """The control: what sheds above is the bound."""
    crowd = Crowd()
    async with service(pair, open_tmp_path, REQUEST_LIMIT="100000", REQUEST_SECONDS="50") as installation:
        async with nothing_can_be_stored(installation):
            coming = asyncio.create_task(crowd.comes(installation.url("inquiry")))
            await asyncio.sleep(8)
            assert crowd.answers == Counter()
        crowd.goes.set()
        await coming
    assert crowd.slowest > 5.5
