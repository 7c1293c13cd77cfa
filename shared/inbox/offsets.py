"""What the broker says about a consumer's partitions: which there are, and where they end."""

import asyncio
import re
from collections.abc import Collection, Iterable
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from shared.kafka.records import Partition

_BROKER_SECONDS = 5


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
