"""At half of the whole way's rate: from the intake of an inquiry to its record on the department's topic."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.progress import topics_of
from bench.stage import Stage
from bench.whole import Tell, run_whole
from shared.ids import moment_of

WARM_UP_SECONDS = 10
SECONDS = 60


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds, by the broker's append time of the record, without the first seconds of the processes.

    They count from the moment in the inquiry's id, which is that of its transaction's start: what the commit
    itself takes is in it.
    """

    rate: float
    records: int
    p50_ms: float
    p99_ms: float
    most_ms: float


async def run_latency(on: Stage, rate: float, tell: Tell) -> Latency:
    """Generates at `rate` for a minute and a little, then reads the units' topics. `on` must be fresh."""
    inquiries = int(rate * (WARM_UP_SECONDS + SECONDS))
    await run_whole(on, inquiries, tell, rate=rate)
    _, departments = topics_of(on.installation.namespace, on.installation.units)
    found = sorted(await _latencies(on.installation.bootstrap, departments))
    return Latency(
        rate,
        len(found),
        found[len(found) // 2],
        found[int(len(found) * 0.99)],
        found[-1],
    )


async def _latencies(bootstrap: str, topics: Sequence[str]) -> list[float]:
    consumer: Any = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
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
                    begun = moment_of(record.key.decode()).timestamp() * 1000
                    found.append((begun, record.timestamp - begun))
        warm = min(begun for begun, _ in found) + WARM_UP_SECONDS * 1000
        return [latency for begun, latency in found if begun >= warm]
    finally:
        await consumer.stop()
