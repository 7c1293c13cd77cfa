"""Latencies from the intake to the append of each record, read from the units' topics afterwards."""

from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.kafka_access import KafkaAccess

WARM_UP_SECONDS = 10


async def latencies(
    access: KafkaAccess, topics: Sequence[str], begun_ms: Callable[[bytes], float]
) -> list[float]:
    """Milliseconds by the broker's append time, sorted, without the first seconds of the processes.

    `begun_ms` reads the moment of the beginning, in milliseconds since 1970, from a record's key.
    """
    consumer: Any = AIOKafkaConsumer(
        **access.options(), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        metadata = await consumer._client.fetch_all_metadata()
        places = [TopicPartition(t, p) for t in topics for p in metadata.partitions_for_topic(t)]
        consumer.assign(places)
        wanted = sum((await consumer.end_offsets(places)).values())
        found: list[tuple[float, float]] = []
        while len(found) < wanted:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    begun = begun_ms(record.key)
                    found.append((begun, record.timestamp - begun))
    finally:
        await consumer.stop()
    warm = min(begun for begun, _ in found) + WARM_UP_SECONDS * 1000
    return sorted(latency for begun, latency in found if begun >= warm)
