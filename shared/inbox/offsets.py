"""What the broker says about a consumer's partitions: where they end, and how far behind the client is."""

import asyncio
import re
from collections.abc import Collection, Iterable
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from shared.kafka.aiokafka_internals import position_of
from shared.kafka.records import Partition

_BROKER_SECONDS = 5


async def bounds(client: Any, partition: Partition) -> tuple[int, int]:
    """The first offset of a partition and the one after its last record. Raises KafkaError, TimeoutError."""
    asked = [TopicPartition(*partition)]
    async with asyncio.timeout(_BROKER_SECONDS):
        ends, begins = await client.end_offsets(asked), await client.beginning_offsets(asked)
    return begins[partition], ends[partition]


async def subscribed_topics(client: Any, pattern: str | None) -> Collection[str]:
    """The topics that the client reads. Raises KafkaError or TimeoutError while no broker answers.

    A client with a pattern shows no topics while the broker is away, so in that case the broker is asked.
    """
    if topics := client.subscription():
        return list(topics)
    async with asyncio.timeout(_BROKER_SECONDS):
        return [topic for topic in await client.topics() if pattern and re.match(pattern, topic)]


async def end_offsets(client: Any, topics: Iterable[str]) -> dict[Partition, int]:
    """The offset after the last record of each partition that holds any, whichever replica owns it.

    Raises KafkaError, OSError or TimeoutError while the broker does not answer for all of them.
    """
    numbers = {topic: client.partitions_for_topic(topic) for topic in topics}
    if unknown := [topic for topic, found in numbers.items() if not found]:
        raise UnknownTopicOrPartitionError(f"no partitions are known of {', '.join(sorted(unknown))}")
    partitions = [TopicPartition(topic, number) for topic, found in numbers.items() for number in found]
    if not partitions:
        return {}
    async with asyncio.timeout(_BROKER_SECONDS):
        begins, ends = await asyncio.gather(
            client.beginning_offsets(partitions), client.end_offsets(partitions)
        )
    return {(one.topic, one.partition): ends[one] for one in partitions if begins[one] < ends[one]}


def lag_of(client: Any, partition: Any) -> int | None:
    """Records of an assigned partition that are not fetched yet; None while the client does not know."""
    high, position = client.highwater(partition), position_of(client, partition)
    return None if high is None or position is None else max(0, int(high) - position)
