"""A service as a whole: what its health endpoint reports."""

from collections.abc import AsyncIterator

import httpx
import pytest

from deploy.local.pair import Pair
from harness.schema import SECRET, make_topics, open_service_database
from shared.contracts.addresses import topic_name
from shared.contracts.routing import CaseOffered
from shared.inbox.topic_losses import EXPIRED, TopicLosses, record_loss
from shared.service import Parts, Service
from shared.unit_of_work.database import Database
from tests.waiting import running, until


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
