"""A service as a whole: what its health endpoint reports."""

from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client import generate_latest

from deploy.local.pair import Pair
from harness.schema import SECRET, make_topics, open_service_database
from shared.contracts.addresses import topic_name
from shared.contracts.routing import CaseOffered
from shared.inbox.floods import FloodLimit, resume
from shared.metrics import PARTITION_PAUSED
from shared.service import Parts, Service
from shared.unit_of_work.database import Database


@pytest.fixture
async def routing(database: str, namespace: str, pair: Pair) -> AsyncIterator[Database]:
    await make_topics(pair.bootstrap, namespace, [])
    opened = await open_service_database(database, "routing", namespace=namespace, bootstrap=pair.bootstrap)
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


async def test_a_partition_that_is_paused_for_its_flood_makes_a_service_degraded_and_not_unready(
    routing: Database, namespace: str
) -> None:
    service = Service(routing, Parts("Routing", routers=[], pattern="^none$"))
    topic = topic_name(namespace, "actions", "water")
    await FloodLimit(routing, "routing.actions").pause((topic, 0))
    (consumer,) = service.consumers

    class Client:
        """Reads nothing."""

        def assignment(self) -> set[object]:
            return set()

    await consumer.paused.refresh(Client())
    assert await service.degraded() == {"flood": f"paused, since too many records are bad: {topic}"}
    assert PARTITION_PAUSED.labels("routing.actions", topic, 0)._value.get() == 1
    await resume(routing.pool, topic)
    await consumer.paused.refresh(Client())
    assert await service.degraded() == {}
    assert topic not in generate_latest().decode()
