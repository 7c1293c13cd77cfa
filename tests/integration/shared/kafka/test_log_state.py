"""What stands in a partition of a real broker: bounds, records, markers, what was deleted."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.structs import TopicPartition

from deploy.local.pair import Pair
from shared.kafka.log_state import read_log_states


@pytest.fixture
async def admin(pair: Pair) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**pair.access.options())
    await client.start()
    yield client
    await client.close()


async def make(admin: AIOKafkaAdminClient, topic: str) -> str:
    await admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])
    return topic


async def test_bounds_and_the_record_at_an_offset_are_read(
    pair: Pair, namespace: str, admin: AIOKafkaAdminClient
) -> None:
    topic = await make(admin, f"{namespace}.plain")
    async with AIOKafkaProducer(**pair.access.options()) as producer:
        for n in range(5):
            await producer.send_and_wait(topic, b"%d" % n, partition=0)
    asked: dict[tuple[str, int], int | None] = {
        (topic, 0): 3,
        (topic, 1): 0,
        (topic, 7): 0,
        (f"{namespace}.no", 0): None,
    }
    found = await read_log_states(pair.access, "test", asked)
    assert found.keys() == {(topic, 0), (topic, 1)}
    one = found[topic, 0]
    assert (one.begin, one.end) == (0, 5)
    assert one.record is not None
    assert (one.record.offset, one.record.value) == (3, b"3")
    assert found[topic, 1].record is None

    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=4)})
    gone = (await read_log_states(pair.access, "test", {(topic, 0): 3}))[topic, 0]
    assert (gone.begin, gone.end, gone.record) == (4, 5, None)
    beyond = (await read_log_states(pair.access, "test", {(topic, 0): 9}))[topic, 0]
    assert beyond.record is None


async def test_a_transaction_marker_is_no_record(
    pair: Pair, namespace: str, admin: AIOKafkaAdminClient
) -> None:
    topic = await make(admin, f"{namespace}.transactions")
    async with AIOKafkaProducer(**pair.access.options(), transactional_id=topic) as producer:
        for value in (b"first", b"second"):
            async with producer.transaction():
                await producer.send_and_wait(topic, value, partition=0)
    found = [
        (await read_log_states(pair.access, "test", {(topic, 0): offset}))[topic, 0] for offset in range(4)
    ]
    values = [state.record.value if state.record else None for state in found]
    assert values == [b"first", None, b"second", None]
    assert {(state.begin, state.end) for state in found} == {(0, 4)}
