"""The publisher without Kafka: its application over a real database, other services' events, its workers."""

import asyncio
import datetime as dt
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import orjson
import pytest
from pydantic import SecretStr
from starlette.responses import Response

from harness.fixed_clock import FixedClock
from harness.schema import SECRET, open_service_database, outbox_records
from services.publisher.app import build
from services.publisher.config import PublisherSettings
from services.publisher.derived_secrets import DerivedSecrets
from services.publisher.push.guard import Guard
from services.publisher.push.ledger import Ledger
from services.publisher.push.mail import MailServer
from services.publisher.push.mail_messages import MailSettings
from services.publisher.push.rendering import Renderer
from services.publisher.push.webhooks import Webhooks
from services.publisher.push.workers import MailWorker, WebhookWorker
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
from tests.integration.publisher.sinks import HookSink, MailSink, hook_sink, mail_sink

START = dt.datetime(2026, 11, 24, 1, 30, tzinfo=dt.UTC)
HOME = "http://127.0.0.1:8080"
API = "/api/publisher/v1/publications"
TEXT = {
    "title": "关于调整供水价格的通知",
    "summary": "自明年一月起，居民用水价格不变。",
    "body": "第一条 居民用水价格不变。\n\n第二条 本通知自 2027 年 1 月 1 日起施行。",
    "topics": ["water-energy"],
    "document_number": "市发改〔2026〕14号",
    "effective_from": "2027-01-01T00:00:00+08:00",
}


@dataclass
class Running:
    """The service, with the parts that a test drives by hand."""

    database: Database
    others: dict[str, Database]
    parts: Parts
    clock: FixedClock
    settings: WebSettings
    client: httpx.AsyncClient
    mail: MailSink
    hooks: HookSink
    ledger: Ledger
    renderer: Renderer

    def sign_in(self, subject: str, *roles: str) -> None:
        """Signs the client in as this person."""
        person = Person(subject, subject, frozenset(roles), None, machine_now().replace(microsecond=0))
        response = Response()
        Sessions(self.settings).sign_in(response, person)
        name, _, value = response.headers["set-cookie"].partition(";")[0].partition("=")
        self.client.cookies.clear()
        self.client.cookies.set(name, value)

    def sign_out(self) -> None:
        self.client.cookies.clear()

    async def post(self, path: str, body: object, *, key: str | None = None) -> httpx.Response:
        headers = {"Idempotency-Key": key or secrets.token_hex(8)}
        return await self.client.post(path, json=body, headers=headers)

    async def put(self, path: str, body: object) -> httpx.Response:
        return await self.client.put(path, json=body, headers={"Idempotency-Key": secrets.token_hex(8)})

    async def publish(self, **changes: Any) -> str:
        """Drafts, approves and publishes by the API; gives the publication's id."""
        self.sign_in("editor-3", "editor")
        drafted = await self.post(API, TEXT | changes)
        assert drafted.status_code == 201, drafted.text
        identifier: str = drafted.json()["id"]
        self.sign_in("approver-7", "approver")
        for act in ("approve", "publish"):
            done = await self.post(f"{API}/{identifier}/{act}", {"version": 1})
            assert done.status_code == 200, done.text
        self.sign_out()
        return identifier

    async def correct(self, identifier: str, **changes: Any) -> None:
        """Publishes a second version of what `publish` made."""
        self.sign_in("editor-3", "editor")
        revised = await self.put(f"{API}/{identifier}", TEXT | changes | {"version": 1})
        assert revised.status_code == 200, revised.text
        self.sign_in("approver-7", "approver")
        for act in ("approve", "publish"):
            done = await self.post(f"{API}/{identifier}/{act}", {"version": 2})
            assert done.status_code == 200, done.text
        self.sign_out()

    async def withdraw(self, identifier: str, reason: str = "printed by mistake", version: int = 1) -> None:
        """Withdraws a publication."""
        self.sign_in("approver-7", "approver")
        done = await self.post(f"{API}/{identifier}/withdraw", {"version": version, "reason": reason})
        assert done.status_code == 200, done.text
        self.sign_out()

    async def form(self, page: str, path: str, **fields: Any) -> httpx.Response:
        """Sends a form as the page at `page` would."""
        html = (await self.client.get(page)).text
        token = re.search(r'name="csrf" value="([^"]+)"', html)
        assert token, html[:500]
        hidden = re.search(r'name="idempotency_key" value="([^"]+)"', html)
        more = {"idempotency_key": hidden[1]} if hidden else {}
        return await self.client.post(path, data={"csrf": token[1], **more, **fields})

    async def events(self, subject: str) -> list[dict[str, Any]]:
        """The events about a subject in order, each with its short name and words."""
        rows = await self.database.pool.fetch(
            "SELECT value, words FROM outbox WHERE key = $1 ORDER BY id", subject
        )
        events = [orjson.loads(row["value"]) for row in rows]
        for event, row in zip(events, rows, strict=True):
            event["name"] = event["type"].removeprefix("civic.").removesuffix(".v1")
            event["words"] = orjson.loads(row["words"]) if row["words"] else None
        return events

    async def names(self, subject: str) -> list[str]:
        return [event["name"] for event in await self.events(subject)]

    async def emit(
        self,
        service: str,
        subject: str,
        data: EventData,
        words: Words | None = None,
        source: str | None = None,
    ) -> RawRecord:
        """An event of another service, not yet applied; `consume` applies it."""
        other = self.others[service]
        async with other.transaction([subject]) as tx:
            tx.emit(data, subject=subject, words=words, source=source)
        topic = f"civic.{data.contract.topic}.v1"
        return (await outbox_records(other.pool, topic))[-1]

    async def consume(self, *records: RawRecord) -> None:
        """Applies records one after the other, as the consumer would."""
        batches = PartitionBatchProcessor(self.database, "publisher", self.parts.handlers)
        for record in records:
            await self.database.pool.execute("DELETE FROM cursor")
            await batches.process([record], start=0)
        parked = await self.database.pool.fetch("SELECT error FROM parked_key")
        assert not parked, parked

    async def pass_time(self, moment: dt.datetime | None = None) -> None:
        """Moves the clock and fires the timers that are due by then."""
        self.clock.moment = moment or self.clock.moment
        timers = Timers(self.database, watermark_lag=lambda: 0.0)
        self.parts.register_timers(timers)
        while await timers.once():
            pass

    async def deliver(self) -> None:
        """Runs every worker until nothing is due."""
        server = MailServer(self.mail.url, "noreply@city.example")
        for bulk in (False, True):
            worker = MailWorker(self.ledger, self.renderer, server, bulk=bulk)
            while await worker.once():
                pass
        async with Webhooks(Guard(allow_private=True)) as webhooks:
            for bulk in (False, True):
                caller = WebhookWorker(self.ledger, self.renderer, webhooks, bulk=bulk)
                while await caller.once():
                    await asyncio.gather(*caller._calls)

    async def due_now(self) -> None:
        """Makes every open delivery due, as if machine time had passed."""
        await self.database.pool.execute(
            "UPDATE delivery SET due_at = $1 WHERE state IN ('pending', 'sending')", machine_now()
        )

    async def deliveries(self) -> list[dict[str, Any]]:
        rows = await self.database.pool.fetch("SELECT * FROM delivery ORDER BY id")
        return [dict(row) for row in rows]

    async def subscribed(self, address: str, *topics: str) -> str:
        """A confirmed subscriber by e-mail; the subscription's id."""
        asked = await self.post(
            "/api/publisher/v1/subscriptions", {"lane": "email", "address": address, "topics": topics}
        )
        assert asked.status_code == 202, asked.text
        await self.deliver()
        link = re.search(r"http://\S+/subscribe/confirm/\S+", self.mail.mails.pop().get_content())
        assert link
        confirmed = await self.client.post(link[0])
        assert confirmed.status_code == 200
        return link[0].split("/")[-2]


_TABLES = (
    "publication_version, publication, publication_topic, topic_change, "
    "subscription, contact, early_step, delivery, push_batch, outbox, "
    "aggregate, expectation, timer, idempotency_key, parked_key, parked_event, dead_letter"
)


@pytest.fixture(scope="module")
async def databases(database: str) -> AsyncIterator[dict[str, Database]]:
    opened = {
        service: await open_service_database(database, service)  # type: ignore[arg-type]
        for service in ("publisher", "inquiry", "routing")
    }
    yield opened
    for each in opened.values():
        await each.close()


@pytest.fixture
async def running(databases: dict[str, Database], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("ALLOW_PRIVATE_WEBHOOKS", "true")
    publisher = databases["publisher"]
    clock = FixedClock(START)
    for each in databases.values():
        each.clock = clock
    await publisher.pool.execute(f"TRUNCATE {_TABLES}")
    settings = WebSettings(secret_key=SecretStr(SECRET))
    parts = await build(publisher, PublisherSettings.for_service("publisher"))
    app = create_app(
        "publisher",
        title=parts.title,
        routers=parts.routers,
        settings=settings,
        ready=parts.ready,
        degraded=parts.degraded,
        pages=parts.pages,
        context=parts.context,
    )
    assert parts.pages is not None
    mail_settings = MailSettings(
        HOME, "noreply@city.example", ZoneInfo("Asia/Shanghai"), parts.pages.catalogue
    )
    renderer = Renderer(publisher, DerivedSecrets(SECRET), mail_settings)
    async with (
        mail_sink() as mail,
        hook_sink() as hooks,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOME) as client,
    ):
        yield Running(
            publisher, databases, parts, clock, settings, client, mail, hooks, Ledger(publisher), renderer
        )
