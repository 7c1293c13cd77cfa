"""routing on a real PostgreSQL, with inquiry's events made by hand and requests over ASGI."""

import dataclasses
import datetime as dt
import hashlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from pydantic import SecretStr
from starlette.responses import Response

from harness.fixed_clock import FixedClock
from harness.schema import SECRET, open_service_database
from services.routing.commands import Commands
from services.routing.handlers import build_handlers
from services.routing.http import ROUTERS
from services.routing.http.context import Context
from services.routing.timers import register_timers
from shared.clock import machine_now
from shared.contracts.base import Event, EventData, Words
from shared.contracts.inquiry import Deadline, InquiryReceived, InquiryWords
from shared.events.encoding import Draft, encode_value, encode_words
from shared.ids import case_number, new_id
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.kafka.records import RawRecord
from shared.packs import Packs
from shared.unit_of_work.database import Database
from shared.unit_of_work.timers import Timers
from shared.web.app import create_app
from shared.web.pages import Pages
from shared.web.session import Person
from shared.web.settings import WebSettings

NOW = dt.datetime(2026, 11, 24, 2, 0, tzinfo=dt.UTC)  # Tuesday, 10:00 in Shanghai
UNKNOWN = "01a20b48-0900-7267-b13f-c4c61c475435"  # an id that no case has
DUE = dt.datetime(2026, 12, 1, 9, 30, tzinfo=dt.UTC)
DEADLINE = Deadline(due=DUE, day_zero=NOW, amount=5, day_count="working_days")
WORDS = InquiryWords(title="路灯不亮", text="临江路 8 号门口的路灯坏了三天。\n请修一修 <b>快</b>。")


@dataclasses.dataclass
class World:
    """routing's database, the topics that it reads, and the events that it emits."""

    database: Database
    packs: Packs
    namespace: str
    offsets: dict[str, int] = dataclasses.field(default_factory=dict)
    sequences: dict[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        handlers = build_handlers(self.packs)
        self.events = PartitionBatchProcessor(self.database, "routing", handlers)
        self.actions = PartitionBatchProcessor(self.database, "routing.actions", handlers)

    @property
    def inquiry_topic(self) -> str:
        return f"{self.namespace}.inquiry.v1"

    def record(self, topic: str, key: str, value: bytes, words: bytes | None = None) -> RawRecord:
        offset = self.offsets[topic] = self.offsets.get(topic, -1) + 1
        headers = (("words", words),) if words is not None else ()
        return RawRecord(topic, 0, offset, int(NOW.timestamp() * 1000), key.encode(), value, headers)

    def fact(
        self, subject: str, facts: EventData, words: Words | None = None, *, causation: str | None = None
    ) -> RawRecord:
        """An event of inquiry about a case, as the record on its topic."""
        sequence = self.sequences[subject] = self.sequences.get(subject, 0) + 1
        encoded = encode_words(words) if words else None
        draft = Draft(
            id=new_id(NOW),
            source="/services/inquiry",
            subject=subject,
            time=NOW,
            sequence=sequence,
            epoch=1,
            key=subject,
            correlation=subject,
            causation=causation,
            effective=NOW,
            actor="citizen",
            policy=self.packs.current.version,
            jurisdiction="cn-city",
            data=facts,
        )
        return self.record(self.inquiry_topic, subject, encode_value(draft, encoded), encoded)

    def received(self, subject: str, **more: Any) -> RawRecord:
        facts = {
            "number": case_number(subject, ZoneInfo("Asia/Shanghai")),
            "kind": "help",
            "service_code": "municipal-street-light",
            "channel": "web",
            "secret_hash": "0" * 64,
            "deadline": DEADLINE,
        } | more
        return self.fact(subject, InquiryReceived.model_validate(facts), WORDS)

    async def take(self, *records: RawRecord) -> None:
        """Applies events of inquiry as one batch."""
        await self.events.process(records)

    async def dispatched(self, **more: Any) -> str:
        """The id of a case that was received and, by the catalogue, dispatched."""
        subject = new_id(NOW)
        await self.take(self.received(subject, **more))
        return subject

    async def act(self, unit: str, subject: str, verb: str, action: str = "a-1", **data: Any) -> RawRecord:
        """A unit's own system sends an action with the least that the contract requires."""
        return await self.send(unit, self.action(subject, verb, action, **data))

    @staticmethod
    def action(subject: str, verb: str, action: str = "a-1", **data: Any) -> dict[str, Any]:
        """An action as its CloudEvent."""
        return {
            "specversion": "1.0",
            "type": f"civic.action.{verb}.v1",
            "id": action,
            "source": "/office-automation",
            "subject": subject,
            "time": NOW.isoformat(),
            "data": data,
        }

    async def send(self, unit: str, *values: dict[str, Any] | bytes) -> RawRecord:
        """Puts values onto a unit's actions topic and applies them as one batch; the last record."""
        topic = f"{self.namespace}.department.{unit}.actions.v1"
        records = [
            self.record(topic, "key", one if isinstance(one, bytes) else json.dumps(one).encode())
            for one in values
        ]
        await self.actions.process(records)
        return records[-1]

    async def fire_timers(self) -> None:
        timers = Timers(self.database, watermark_lag=lambda: 0.0)
        register_timers(timers, self.packs)
        await timers.once()

    async def emitted(self, topic: str = "routing", *, about: str | None = None) -> list[Event[Any]]:
        """The events in the outbox for a topic (`routing`, or a unit's code), in order."""
        name = (
            f"{self.namespace}.routing.v1"
            if topic == "routing"
            else f"{self.namespace}.department.{topic}.v1"
        )
        rows = await self.database.pool.fetch("SELECT value FROM outbox WHERE topic = $1 ORDER BY id", name)
        events = [Event[dict[str, Any]].model_validate_json(row["value"]) for row in rows]
        return [event for event in events if about is None or event.subject == about]

    async def types(self, topic: str = "routing", *, about: str | None = None) -> list[str]:
        """Like `emitted`, only the short names of the types."""
        return [
            event.type.split(".", 1)[1].removesuffix(".v1")
            for event in await self.emitted(topic, about=about)
        ]

    async def state(self, subject: str) -> str | None:
        state: str | None = await self.database.pool.fetchval(
            "SELECT state FROM case_file WHERE id = $1", subject
        )
        return state


@pytest.fixture
async def world(database: str, namespace: str) -> AsyncIterator[World]:
    opened = await open_service_database(database, "routing", namespace=namespace)
    opened.clock = FixedClock(NOW)
    packs = await Packs.open(opened, opened.settings)
    yield World(opened, packs, namespace)
    await opened.pool.execute(
        "TRUNCATE aggregate, outbox, cursor, seen_event, parked_key, parked_event, dead_letter, flood, timer,"
        " idempotency_key, case_file, assignment, stray_action"
    )
    await opened.close()


KEY_OF_WATER = secrets.token_hex(32)

SignIn = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def sign_in(world: World, tmp_path: Path) -> AsyncIterator[SignIn]:
    """`sign_in("officer", unit="water")`: a browser of that person; `sign_in()`: without a session."""
    keys = tmp_path / "keys.yaml"
    digest = hashlib.sha256(KEY_OF_WATER.encode()).hexdigest()
    keys.write_text(f"[{{name: water-backend, sha256: {digest}, scopes: ['unit:water'], unit: water}}]")
    pages = Pages("services.routing")
    settings = WebSettings(secret_key=SecretStr(SECRET), api_keys_file=keys, language="zh")

    async def ready() -> dict[str, str]:
        return {}

    app = create_app(
        "routing",
        title="routing",
        routers=ROUTERS,
        settings=settings,
        ready=ready,
        pages=pages,
        unit_name=world.packs.current.unit_name,
        context=Context(world.database, world.packs, Commands(world.database, world.packs), pages),
    )
    clients: list[httpx.AsyncClient] = []

    def make(role: str | None = None, unit: str | None = None) -> httpx.AsyncClient:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080")
        clients.append(client)
        if role:
            now = machine_now().replace(microsecond=0)
            response = Response()
            sessions = app.state.web.sessions
            sessions.sign_in(response, Person(f"{role}-1", "李经办", frozenset({role}), unit, now))
            client.cookies.set(sessions.cookie, response.headers["set-cookie"].split("=", 1)[1].split(";")[0])
        return client

    yield make
    for client in clients:
        await client.aclose()


def hidden(html: str, name: str) -> str:
    """The value of a hidden field of the page's forms."""
    found = re.search(rf'name="{name}" value="([^"]+)"', html)
    assert found, name
    return found[1]
