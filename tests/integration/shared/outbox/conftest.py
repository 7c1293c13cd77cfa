"""Two services with a topic of four partitions between them, and an administrator of the broker."""

from collections.abc import AsyncIterator
from itertools import count

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.pair import Pair
from harness.schema import make_topics, open_service_database
from shared.contracts.addresses import topic_name
from shared.unit_of_work.database import Database
from tests.integration.shared.outbox.traffic import open_reader

_NUMBERS = count(1)


@pytest.fixture(autouse=True)
def growths_look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.outbox.growth._POLL_SECONDS", 0.05)


@pytest.fixture
async def own_namespace(namespace: str, pair: Pair) -> str:
    """Routing's topics as they are declared, for one test alone."""
    own = f"{namespace}-{next(_NUMBERS)}"
    await make_topics(pair.access, own, ["water"], only="routing")
    return own


@pytest.fixture
def topic(own_namespace: str) -> str:
    """Routing's topic."""
    return topic_name(own_namespace, "routing")


@pytest.fixture
async def admin(pair: Pair) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**pair.access.options())
    await client.start()
    yield client
    await client.close()


@pytest.fixture
async def writer(database: str, own_namespace: str, pair: Pair) -> AsyncIterator[Database]:
    """Routing, whose events are sent."""
    opened = await open_service_database(database, "routing", namespace=own_namespace, access=pair.access)
    yield opened
    await opened.pool.execute("TRUNCATE aggregate, outbox, outbox_aside, topic_width")
    await opened.close()


@pytest.fixture
async def reader(database: str, own_namespace: str, pair: Pair) -> AsyncIterator[Database]:
    """Inquiry, which keeps in the table `applied` what it has read."""
    opened = await open_reader(database, own_namespace, pair.access)
    yield opened
    await opened.pool.execute("TRUNCATE applied, aggregate, cursor, topic_width")
    await opened.close()
