"""A GET writes nothing: every route of the four applications, asked by everybody, and every table compared.

The routes come from the applications' own tables, so a new one is asked as well. Nothing else runs here, no
relay, no timer, no worker: what changes, a request has changed.
"""

import asyncio
import contextlib
import hashlib
import itertools
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import asyncpg
import httpx
import orjson
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.sse import EventSourceResponse
from starlette.responses import Response
from starlette.routing import BaseRoute

from deploy.local.pair import Pair
from harness.schema import SECRET, open_service_database, outbox_records
from services.audit import app as audit_app
from services.audit.config import AuditSettings
from services.audit.log.files import LogFiles
from services.audit.log.keyfile import open_or_make
from services.audit.log.parsing import prepare
from services.audit.log.publish import publish
from services.audit.log.sequencer import Sequencer
from services.audit.log.subjects import KeyBox
from services.inquiry import app as inquiry_app
from services.inquiry.config import InquirySettings
from services.publisher import app as publisher_app
from services.publisher.config import PublisherSettings
from services.publisher.derived_secrets import DerivedSecrets
from services.routing import app as routing_app
from shared.clock import machine_now
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.kafka.records import RawRecord
from shared.service import Parts, Service
from shared.settings import SERVICES, CoreSettings, ServiceName
from shared.unit_of_work.database import Database
from shared.web.session import Person, Sessions
from shared.web.settings import WebSettings

pytestmark = pytest.mark.integration

HOME = "http://127.0.0.1:8080"
MACHINE = secrets.token_hex(32)
LEAD = "urban-management"
CONCERN = {
    "title": "幸福路路灯不亮",
    "text": "从上周五开始，幸福路与建设街路口的三盏路灯都不亮。",
    "kind": "help",
    "service_code": "municipal-street-light",
    "area": "yunxi",
    "contact": {"name": "王芳", "phone": "138 0000 0000", "email": "wang@example.org"},
}
TEXT = {"title": "供水价格", "summary": "价格不变。", "body": "价格不变。", "topics": ["water-energy"]}
ROLES = ("clerk", "officer", "dispatcher", "oversight", "operator", "editor", "approver")
SCOPES = ("inquiries.read", "dispatch", "audit:read", f"unit:{LEAD}")
# What any route may read of the query. Those that need something else answer 422 and fail `reached`.
QUERY = {
    "purpose": "call_back",
    "service_code": "municipal-street-light",
    "kind": "help",
    "area": "yunxi",
    "start": "2026-11-24T09:30:00+08:00",
    "unit": LEAD,
    "lang": "en",
    "next": "/desk",
    "after": "0",
}
NEVER_REACHED = {
    "/login": "there is no provider",
    "/login/callback": "there is no provider",
    "/readyz": "nothing runs",
    "/api/inquiry/v1/inquiries/{reference}/contact": "read by POST",
}
STREAM_SECONDS = 1.0


@dataclass
class City:
    """The four applications on one database, with one case, publication, subscription and log entry."""

    databases: dict[ServiceName, Database]
    parts: dict[ServiceName, Parts]
    apps: dict[ServiceName, FastAPI]
    tables: asyncpg.Connection
    names: dict[str, list[str]] = field(default_factory=dict)
    """What stands for a path's parameters, by name."""
    callers: dict[str, dict[str, str]] = field(default_factory=dict)
    """The headers of each kind of caller."""

    @contextlib.asynccontextmanager
    async def client(self, service: ServiceName) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.apps[service])
        async with httpx.AsyncClient(transport=transport, base_url=HOME) as client:
            yield client

    async def contents(self) -> dict[str, str]:
        """A hash of every row of every table of the four services, by table."""
        found = await self.tables.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
            " WHERE schemaname = ANY ($1::text[])",
            list(SERVICES),
        )
        each = [
            f"SELECT '{row['name']}' AS name, md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), ''))"
            f" AS rows FROM {row['name']} t"
            for row in found
        ]
        rows = await self.tables.fetch(" UNION ALL ".join(each))
        return {row["name"]: row["rows"] for row in rows}


def cookie(settings: CoreSettings, subject: str = "u-7") -> str:
    """A person who may do everything that anybody may."""
    person = Person(subject, "李受理", frozenset(ROLES), LEAD, machine_now().replace(microsecond=0))
    response = Response()
    Sessions(WebSettings.of(settings, language="zh", time_zone="Asia/Shanghai")).sign_in(response, person)
    return response.headers["set-cookie"].partition(";")[0]


@pytest.fixture(scope="module")
async def city(database: str, pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[City]:
    folder = tmp_path_factory.mktemp("data")
    keys = folder / "keys.yaml"
    digest = hashlib.sha256(MACHINE.encode()).hexdigest()
    keys.write_text(f"[{{name: all, sha256: {digest}, scopes: {list(SCOPES)}}}]")
    more: dict[str, Any] = {"data_dir": folder, "api_keys_file": keys, "access": pair.access}
    databases = {name: await open_service_database(database, name, **more) for name in SERVICES}
    settings = {name: one.settings for name, one in databases.items()}

    def own(kind: type[Any], name: ServiceName) -> Any:
        return kind.model_validate(settings[name].model_dump())

    parts: dict[ServiceName, Parts] = {
        "publisher": await publisher_app.build(databases["publisher"], own(PublisherSettings, "publisher")),
        "inquiry": await inquiry_app.build(databases["inquiry"], own(InquirySettings, "inquiry")),
        "routing": await routing_app.build(databases["routing"], settings["routing"]),
        "audit": await audit_app.build(databases["audit"], own(AuditSettings, "audit")),
    }
    apps = {name: Service(databases[name], parts[name]).web() for name in SERVICES}
    tables = await asyncpg.connect(database)
    made = City(databases, parts, apps, tables)
    made.callers = {
        "nobody": {},
        "staff": {"Cookie": cookie(settings["inquiry"])},
        "a machine": {"Authorization": f"Bearer {MACHINE}"},
    }
    await fill(made, own(AuditSettings, "audit"))
    yield made
    await tables.close()
    for each in databases.values():
        await each.close()


async def fill(city: City, audit: AuditSettings) -> None:
    """One of each thing that a path can name."""
    async with city.client("inquiry") as client:
        taken = await client.post(
            "/api/inquiry/v1/inquiries", json=CONCERN, headers={"Idempotency-Key": secrets.token_hex(8)}
        )
    assert taken.status_code == 201, taken.text
    case = taken.json()
    received = await outbox_records(city.databases["inquiry"].pool, "civic.inquiry.v1")
    await apply(city, "routing", received)
    dispatched = await outbox_records(city.databases["routing"].pool, "civic.routing.v1")
    await apply(city, "inquiry", dispatched)
    publication = await published(city)
    subscription = await subscribed(city)
    events = await logged(city, audit, received)
    own = DerivedSecrets(SECRET)
    browser = Response()
    city.parts["inquiry"].context.access.remember(browser, case["id"])  # type: ignore[attr-defined]
    city.callers["the citizen"] = {
        "X-Case-Secret": case["secret"],
        "X-Subscription-Secret": own.token("leave", subscription),
        "Cookie": browser.headers["set-cookie"].partition(";")[0],
    }
    city.names = {
        "reference": [case["number"], case["id"]],
        "inquiry": [case["id"]],
        "identifier": [publication],
        "subscription": [subscription],
        "token": [own.token("confirm", subscription), own.token("leave", subscription)],
        "topic": ["all"],
        "kind": ["atom", "json"],
        "path": ["entries/000.p/1", "entries/000.p/2"],
        "event_id": [events],
        "old_size": ["1"],
        "address": ["civicloom.css"],
    }


async def apply(city: City, service: ServiceName, records: list[RawRecord]) -> None:
    batches = PartitionBatchProcessor(city.databases[service], service, city.parts[service].handlers)
    now = int(machine_now().timestamp() * 1000)
    await batches.process([replace(record, timestamp_ms=now) for record in records], start=0)


async def published(city: City) -> str:
    """A publication, which a second person has approved."""
    api = "/api/publisher/v1/publications"
    editor, approver = (
        {"Cookie": cookie(city.databases["publisher"].settings, subject)} for subject in ("u-7", "u-8")
    )
    async with city.client("publisher") as client:
        drafted = await client.post(api, json=TEXT, headers=editor | {"Idempotency-Key": "draft"})
        identifier: str = drafted.json()["id"]
        for act in ("approve", "publish"):
            done = await client.post(
                f"{api}/{identifier}/{act}", json={"version": 1}, headers=approver | {"Idempotency-Key": act}
            )
            assert done.status_code == 200, done.text
    return identifier


async def subscribed(city: City) -> str:
    async with city.client("publisher") as client:
        asked = await client.post(
            "/api/publisher/v1/subscriptions",
            json={"lane": "email", "address": "wang@example.org", "topics": ["water-energy"]},
            headers={"Idempotency-Key": secrets.token_hex(8)},
        )
        assert asked.status_code == 202, asked.text
    found: str = await city.tables.fetchval("SELECT id FROM publisher.subscription")
    return found


async def logged(city: City, settings: AuditSettings, records: list[RawRecord]) -> str:
    """The first event in the log, under a checkpoint."""
    signer = open_or_make(settings.key_file, settings.origin, has_log=True)
    connection = await city.databases["audit"].connect()
    try:
        keys = KeyBox(settings.key("audit subject keys"))
        sequencer = await Sequencer.open(connection, signer.verifier, keys, None)
        await sequencer.append(prepare(records))
        await publish(connection, LogFiles(settings.folder), signer)
    finally:
        await connection.close()
    assert records[0].value
    event: str = orjson.loads(records[0].value)["id"]
    return event


def routes_of(routes: list[BaseRoute]) -> Iterator[Any]:
    """The routes that answer a GET or a HEAD, of included routers too."""
    for route in routes:
        if (included := getattr(route, "original_router", None)) is not None:
            yield from routes_of(included.routes)
        elif {"GET", "HEAD"} & set(route.methods):  # type: ignore[attr-defined]
            yield route


def paths_of(city: City, pattern: str) -> list[str]:
    """The addresses of a route; a parameter that nobody named here gets the case's id."""
    names = re.findall(r"{(\w+)(?::\w+)?}", pattern)
    paths = [pattern]
    for name in names:
        values = city.names.get(name, city.names["inquiry"])
        paths = [re.sub(rf"{{{name}(:\w+)?}}", value, path) for path in paths for value in values]
    return paths


async def ask(city: City, service: ServiceName, route: Any) -> set[int]:
    """Asks the route in every way; the statuses that came."""
    found = set()
    is_stream = getattr(route, "response_class", None) is EventSourceResponse
    ways = itertools.product(
        paths_of(city, route.path),
        city.callers.values(),
        (("GET", "text/html"), ("GET", "*/*"), ("HEAD", "*/*")),
        ("", "?" + urlencode(QUERY)),
    )
    async with city.client(service) as client:
        for path, headers, (method, accept), query in ways:
            sent = headers | {"Accept": accept}
            answer = await status(client, method, path + query, sent, endless=is_stream)
            if method == "GET":
                found.add(answer)
    return found


async def status(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str], *, endless: bool
) -> int:
    try:
        async with asyncio.timeout(STREAM_SECONDS if endless else None):
            return (await client.request(method, path, headers=headers)).status_code
    except TimeoutError:
        return 200  # it was streaming: what is refused ends


async def written_by(city: City, service: ServiceName, route: Any) -> tuple[list[str], set[int]]:
    """The tables that a GET of this route changed, and the statuses of its answers."""
    before = await city.contents()
    statuses = await ask(city, service, route)
    after = await city.contents()
    return [name for name in after if before.get(name) != after[name]], statuses


@pytest.mark.parametrize("service", SERVICES)
async def test_no_get_of_a_service_writes_anything(city: City, service: ServiceName) -> None:
    written, unreached, asked = {}, {}, set()
    for route in routes_of(city.apps[service].routes):
        asked.add(route.path)
        changed, statuses = await written_by(city, service, route)
        if changed:
            written[route.path] = changed
        if all(one >= 400 for one in statuses) and route.path not in NEVER_REACHED:
            unreached[route.path] = statuses
        assert not any(one >= 500 for one in statuses) or route.path in NEVER_REACHED, (route.path, statuses)
    assert {"/healthz", "/metrics", f"/api/{service}/openapi.json"} < asked
    assert not written
    # A route that refuses everybody was not tried: name in QUERY or `names` what it needs.
    assert not unreached


async def test_every_table_is_looked_at(city: City) -> None:
    tables = await city.contents()
    assert {f"{service}.outbox" for service in SERVICES} < set(tables)
    assert {"publisher.delivery", "inquiry.step", "routing.assignment", "audit.log_entry"} < set(tables)


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("DELETE FROM inquiry.outbox WHERE id = (SELECT max(id) FROM inquiry.outbox)", "inquiry.outbox"),
        ("UPDATE inquiry.contact SET name = name || 'x'", "inquiry.contact"),
        ("UPDATE inquiry.inquiry SET area = area || 'x'", "inquiry.inquiry"),
    ],
)
async def test_control_a_get_that_writes_is_found(city: City, statement: str, table: str) -> None:
    changed, statuses = await with_route(city, statement)
    assert changed == [table]
    assert statuses == {200}


async def with_route(city: City, statement: str) -> tuple[list[str], set[int]]:
    """The same over a route that a careless change would add."""
    router = APIRouter()

    @router.get("/careless/{reference}")
    async def careless(reference: str) -> dict[str, str]:
        await city.databases["inquiry"].pool.execute(statement)
        return {"reference": reference}

    app = city.apps["inquiry"]
    kept = list(app.router.routes)
    app.include_router(router)
    try:
        (route,) = [one for one in routes_of(app.routes) if one.path.startswith("/careless")]
        return await written_by(city, "inquiry", route)
    finally:
        app.router.routes[:] = kept
