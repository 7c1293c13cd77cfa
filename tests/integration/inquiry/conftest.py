"""The service without Kafka: its application over a real database, and a clock moved by hand."""

import datetime as dt
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr
from starlette.responses import Response

from harness.fixed_clock import FixedClock
from harness.schema import SECRET, open_service_database, outbox_records
from services.inquiry.app import build
from services.inquiry.config import InquirySettings
from shared.clock import machine_now
from shared.contracts.base import EventData, Words
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.kafka.records import RawRecord
from shared.service import Parts
from shared.unit_of_work.database import Database
from shared.unit_of_work.timers import Timers
from shared.web.app import create_app
from shared.web.session import Person, Sessions
from shared.web.settings import WebSettings

START = dt.datetime(2026, 11, 24, 1, 30, tzinfo=dt.UTC)  # a Tuesday, 9:30 in Shanghai
HOME = "http://127.0.0.1:8080"
API = "/api/inquiry/v1/inquiries"
KEY_OF_READER = secrets.token_hex(32)
"""The API key of a machine that may read lists."""
CONCERN = {
    "title": "幸福路路灯不亮",
    "text": "从上周五开始，幸福路与建设街路口的三盏路灯都不亮。\n晚上看不清路。",
    "kind": "help",
    "service_code": "municipal-street-light",
    "area": "yunxi",
    "place": "幸福路 12 号对面",
}


@dataclass
class Running:
    """The service, with everything that a test controls."""

    database: Database
    routing: Database
    parts: Parts
    clock: FixedClock
    settings: WebSettings
    client: httpx.AsyncClient

    async def take_in(self, **changes: Any) -> dict[str, Any]:
        """Takes a concern in by the API; the whole answer."""
        response = await self.post(API, CONCERN | changes)
        assert response.status_code == 201, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def post(
        self, path: str, body: object, *, key: str | None = None, secret: str | None = None
    ) -> httpx.Response:
        headers = {"Idempotency-Key": key or secrets.token_hex(8)}
        if secret is not None:
            headers["X-Case-Secret"] = secret
        return await self.client.post(path, json=body, headers=headers)

    async def case(self, taken: dict[str, Any]) -> dict[str, Any]:
        """The case as its citizen sees it."""
        response = await self.client.get(
            f"{API}/{taken['number']}", headers={"X-Case-Secret": taken["secret"]}
        )
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def events(self, inquiry: str) -> list[dict[str, Any]]:
        """The events about a case on inquiry's topic, in order; each with its name and words."""
        rows = await self.database.pool.fetch(
            "SELECT value, words FROM outbox WHERE key = $1 AND topic LIKE '%.inquiry.v1' ORDER BY id",
            inquiry,
        )
        events = [orjson.loads(row["value"]) for row in rows]
        for event, row in zip(events, rows, strict=True):
            event["name"] = event["type"].removeprefix("civic.").removesuffix(".v1")
            event["words"] = orjson.loads(row["words"]) if row["words"] else None
        return events

    async def names(self, inquiry: str) -> list[str]:
        return [event["name"] for event in await self.events(inquiry)]

    async def apply(
        self,
        inquiry: str,
        data: EventData,
        words: Words | None = None,
        *,
        acted: dt.datetime | None = None,
        appended: dt.datetime | None = None,
    ) -> RawRecord:
        """Applies an event of routing as the consumer would; the record that carried it."""
        async with self.routing.transaction([inquiry]) as tx:
            tx.emit(data, subject=inquiry, words=words, effective=acted or self.clock.now())
        record = (await outbox_records(self.routing.pool, "civic.routing.v1"))[-1]
        moment = appended or self.clock.now()
        record = replace(record, timestamp_ms=int(moment.timestamp() * 1000))
        await self.apply_again(record)
        return record

    async def apply_again(self, record: RawRecord) -> None:
        batches = PartitionBatchProcessor(self.database, "inquiry", self.parts.handlers)
        await self.database.pool.execute("DELETE FROM cursor")
        await batches.process([record], start=0)

    async def pass_time(self, moment: dt.datetime) -> None:
        """Moves the clock and fires the timers that are due by then."""
        self.clock.moment = moment
        timers = Timers(self.database, watermark_lag=lambda: 0.0)
        self.parts.register_timers(timers)
        while await timers.once():
            pass

    def sign_in(self, *roles: str, unit: str | None = None) -> None:
        """The client becomes a person with these roles."""
        person = Person("u-7", "李受理", frozenset(roles), unit, machine_now().replace(microsecond=0))
        response = Response()
        Sessions(self.settings).sign_in(response, person)
        name, _, value = response.headers["set-cookie"].partition(";")[0].partition("=")
        self.client.cookies.set(name, value)


@pytest.fixture(scope="module")
async def databases(database: str) -> AsyncIterator[tuple[Database, Database]]:
    inquiry = await open_service_database(database, "inquiry")
    routing = await open_service_database(database, "routing")
    yield inquiry, routing
    await inquiry.close()
    await routing.close()


@pytest.fixture
async def running(
    databases: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Running]:
    monkeypatch.setenv("SECRET_KEY", SECRET)
    inquiry, routing = databases
    clock = FixedClock(START)
    inquiry.clock = routing.clock = clock
    keys = tmp_path / "keys.yaml"
    digest = hashlib.sha256(KEY_OF_READER.encode()).hexdigest()
    keys.write_text(f"[{{name: reader, sha256: {digest}, scopes: ['inquiries.read']}}]")
    settings = WebSettings(secret_key=SecretStr(SECRET), api_keys_file=keys)
    parts = await build(inquiry, InquirySettings.for_service("inquiry"))
    app = create_app(
        "inquiry",
        title=parts.title,
        routers=parts.routers,
        settings=settings,
        ready=parts.ready,
        pages=parts.pages,
        context=parts.context,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOME) as client:
        yield Running(inquiry, routing, parts, clock, settings, client)
