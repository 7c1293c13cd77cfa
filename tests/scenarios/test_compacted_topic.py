"""A unit's topic that is compacted: what compaction took is neither lost nor unread.

The broker's cleaner takes some seconds to come by.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from deploy.local.pair import Pair
from harness.schema import open_service_database
from shared.inbox.watermark import Watermark
from shared.kafka.client import KafkaError
from shared.kafka.log_state import read_log_states
from shared.unit_of_work.database import Database
from tests.integration.shared.inbox.actions import actions
from tests.waiting import running, until


@pytest.fixture
async def reader(database: str, namespace: str, pair: Pair) -> AsyncIterator[Database]:
    opened = await open_service_database(database, "routing", namespace=namespace, access=pair.access)
    yield opened
    await opened.close()


async def test_what_compaction_took_is_not_lost(reader: Database, pair: Pair) -> None:
    async with actions(
        reader,
        pair.access,
        **{
            "cleanup.policy": "compact",
            "segment.ms": "100",
            "min.cleanable.dirty.ratio": "0.001",
            "max.compaction.lag.ms": "100",
        },
    ) as unit:
        for number in range(6):
            await unit.send([f"a-{number}"], subject=f"case-{number % 2}")
            await asyncio.sleep(0.12)  # a segment of its own: the active one is not compacted

        async def compacted() -> bool:
            states = await read_log_states(pair.access, "test", {(unit.topic, 0): 1})
            return states[unit.topic, 0].record is None

        await until(compacted)
        consumer = unit.consumer()
        async with running(consumer.run):
            await until(lambda: "a-5" in unit.applied)
            await until(lambda: consumer.lag() == 0)
            watermark = Watermark(reader, [consumer])
            with contextlib.suppress(KafkaError):
                await watermark.sample()
            assert watermark.lag() < 1
        assert "a-1" not in unit.applied
        assert await unit.losses() == []
