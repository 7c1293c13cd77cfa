"""A service as a whole: what its health endpoint reports."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from fastapi import APIRouter
from prometheus_client import generate_latest

from deploy.local.pair import Pair
from harness.proxy import Proxy
from harness.schema import SECRET, make_topics, open_service_database
from shared.contracts.addresses import topic_name
from shared.contracts.routing import CaseOffered
from shared.inbox.floods import FloodLimit, resume
from shared.inbox.topic_losses import EXPIRED, TopicLosses, record_loss
from shared.kafka.broker_probe import BrokerProbe
from shared.kafka_access import KafkaAccess
from shared.metrics import PARTITION_PAUSED
from shared.service import Parts, Service, _open
from shared.settings import CoreSettings
from shared.unit_of_work.database import Database
from tests.waiting import running, until


@pytest.fixture
async def routing(database: str, namespace: str, pair: Pair) -> AsyncIterator[Database]:
    await make_topics(pair.access, namespace, [])
    opened = await open_service_database(database, "routing", namespace=namespace, access=pair.access)
    yield opened
    await opened.close()


async def test_a_topic_that_refuses_makes_a_service_degraded_and_not_unready(
    routing: Database, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy checks routing's health: one unit without a topic must not take the installation offline."""
    monkeypatch.setenv("SECRET_KEY", SECRET)
    service = Service(routing, Parts("Routing", routers=[]))
    offer = CaseOffered(
        number="1", role="lead", lead="late", kind="help", service_code="x", visibility="public", attempt=1
    )
    async with routing.transaction(["case"]) as tx:
        tx.emit(offer, subject="case", unit="missing")
    while not service.relay.paused_topics:
        await service.relay.once()
    transport = httpx.ASGITransport(service.web())
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 200
    topic = topic_name(namespace, "department", "missing")
    assert answer.json()["degraded"] == [f"routing outbox: paused: {topic}"]
    await service.relay._release()
    await service.producer.stop()


@pytest.fixture
def proxy(pair: Pair) -> Iterator[Proxy]:
    """Before the database."""
    port = urlsplit(pair.database_url).port
    assert port
    with Proxy(port) as found:
        yield found


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", SECRET)


async def health(service: Service) -> httpx.Response:
    """What `/readyz` says, which takes less than three seconds."""
    began = time.monotonic()
    transport = httpx.ASGITransport(service.web())
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.get("/readyz")
    assert time.monotonic() - began < 3
    return answer


async def with_role_setting(database: str, setting: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(f"ALTER ROLE routing {setting}")
    await connection.close()


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("SET default_transaction_read_only = on", "ReadOnlySQLTransactionError"),  # a standby
        ("SET temp_file_limit = 0", "ConfigurationLimitExceededError"),  # as a full disk: no page more
    ],
)
async def test_a_database_that_takes_no_writes_is_not_ready(
    database: str, namespace: str, secret: None, setting: str, reason: str
) -> None:
    await with_role_setting(database, setting)
    opened = await open_service_database(database, "routing", namespace=namespace)
    try:
        answer = await health(Service(opened, Parts("Routing", routers=[])))
        assert answer.status_code == 503
        assert answer.json()["not_ready"]["database"] == f"it takes no writes: {reason}"
    finally:
        await with_role_setting(database, "RESET ALL")
        await opened.close()


async def test_a_database_that_goes_away_while_a_service_is_made_is_waited_for(routing: Database) -> None:
    """A process that ended here would be started again, into the same outage."""
    tries: list[Database] = []

    async def build(database: Database, _: CoreSettings) -> Parts:
        tries.append(database)
        if len(tries) == 1:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return Parts("Routing", routers=[])

    database, parts = await _open(routing.settings, build)
    assert (parts.title, len(tries)) == ("Routing", 2)
    assert tries[0].pool.is_closing()
    await database.close()


async def test_the_write_that_asks_is_done_once_for_many_who_ask(routing: Database, secret: None) -> None:
    service = Service(routing, Parts("Routing", routers=[]))

    async def writes() -> int:
        return await routing.pool.fetchval("SELECT pg_current_xact_id()::text::bigint")

    await health(service)
    before = await writes()
    for _ in range(20):
        assert (await health(service)).status_code == 200
    assert await writes() - before < 10


async def test_health_answers_in_time_while_the_database_is_silent(
    database: str, namespace: str, secret: None, proxy: Proxy
) -> None:
    url = urlsplit(database)._replace(netloc=f"postgres@127.0.0.1:{proxy.port}").geturl()
    opened = await open_service_database(url, "routing", namespace=namespace)
    service = Service(opened, Parts("Routing", routers=[]))
    assert (await health(service)).status_code == 200
    proxy.lose_network()
    service.writes._began = 0.0  # so that it asks again
    for _ in range(2):
        answer = await health(service)
        assert answer.status_code == 503
        assert "no answer" in answer.json()["not_ready"]["database"]
    opened.pool.terminate()


async def test_people_are_answered_in_time_while_the_database_is_silent(
    database: str, namespace: str, secret: None, proxy: Proxy
) -> None:
    """Neither the cancelled command, nor its rollback, nor a new connection holds the answer up."""
    url = urlsplit(database)._replace(netloc=f"postgres@127.0.0.1:{proxy.port}").geturl()
    opened = await open_service_database(url, "routing", namespace=namespace)
    router = APIRouter()

    @router.post("/api/routing/v1/store")
    async def store() -> None:
        async with opened.transaction(["case"]):
            proxy.lose_network()

    transport = httpx.ASGITransport(Service(opened, Parts("Routing", routers=[router])).web())
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for _ in range(2):
            began = time.monotonic()
            answer = await client.post("/api/routing/v1/store")
            assert time.monotonic() - began < 5
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    opened.pool.terminate()


async def test_health_answers_in_time_whatever_check_hangs(routing: Database, secret: None) -> None:
    async def hangs() -> dict[str, str]:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(60)  # nor does it let itself be cancelled
        return {}

    answer = await health(Service(routing, Parts("Routing", routers=[], ready=hangs)))
    assert answer.status_code == 503
    assert "longer than" in answer.json()["not_ready"]["ready"]


async def test_a_broker_that_is_silent_for_too_long_makes_a_service_unready(
    database: str, namespace: str, secret: None, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_EVERY_SECONDS", "_PATIENCE_SECONDS"):
        monkeypatch.setattr(f"shared.kafka.broker_probe.{name}", 0.3)
    opened = await open_service_database(
        database, "routing", namespace=namespace, broker_silence_seconds=2, access=pair.access
    )
    service = Service(opened, Parts("Routing", routers=[]))
    host, _, port = pair.access.bootstrap.rpartition(":")
    with Proxy(int(port)) as before_kafka:
        # The broker names its own address in its answers: the probe must go on by the one it was given.
        service.broker = BrokerProbe(KafkaAccess(f"{host}:{before_kafka.port}"), [])
        before_kafka.lose_network()

        async def status() -> httpx.Response:
            return await health(service)

        async def is_not_ready() -> dict[str, Any] | None:
            answer = await status()
            return answer.json()["not_ready"] if answer.status_code == 503 else None

        async with running(service.broker.run):
            assert (await status()).status_code == 200  # for a while nobody is alarmed
            assert (await until(is_not_ready))["kafka"].startswith("no broker has answered for")
            before_kafka.mend()

            async def is_ready() -> bool:
                return (await status()).status_code == 200

            await until(is_ready)
    await opened.close()


async def test_a_topic_that_is_away_is_named(
    routing: Database, secret: None, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = f"{namespace}x"
    settings = routing.settings.model_copy(update={"topic_namespace": elsewhere})
    monkeypatch.setattr(routing, "settings", settings)
    service = Service(routing, Parts("Routing", routers=[], also_reads=["audit"]))
    async with running(service.broker.run):
        await until(lambda: service.broker.missing)
        answer = await health(service)
    away = ", ".join(topic_name(elsewhere, one) for one in ("audit", "routing"))
    assert answer.json()["degraded"] == [f"routing broker: topics are away: {away}"]


async def test_a_partition_that_is_paused_for_its_flood_makes_a_service_degraded_and_not_unready(
    routing: Database, namespace: str
) -> None:
    service = Service(routing, Parts("Routing", routers=[], pattern="^none$"))
    topic = topic_name(namespace, "actions", "water")
    await FloodLimit(routing, "routing.actions").pause((topic, 0))
    (consumer,) = service.consumers
    await consumer.paused.refresh()
    assert await service.degraded() == {"flood": f"paused, since too many records are bad: {topic}"}
    assert PARTITION_PAUSED.labels("routing.actions", topic, 0)._value.get() == 1
    await resume(routing.pool, topic)
    await consumer.paused.refresh()
    assert await service.degraded() == {}
    assert topic not in generate_latest().decode()


async def test_a_loss_of_a_topic_is_shown_after_a_restart_until_somebody_has_looked(
    routing: Database,
) -> None:
    async with routing.transaction() as tx:
        await record_loss(tx, ("routing", "civic.inquiry.v1", 0), EXPIRED, 3, 9)
    service = Service(routing, Parts("Routing", routers=[]))

    async def shown() -> bool:
        return "civic.inquiry.v1 lost unread records" in (await service.degraded()).get("kafka", "")

    async def quiet() -> bool:
        return "kafka" not in await service.degraded()

    async with running(service._watch_losses):
        await until(shown)
        await TopicLosses(routing).see("civic.inquiry.v1", "me")
        await until(quiet)
