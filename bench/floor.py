"""The floor: the events of the whole way over the same hops by aiokafka and COPY, without any logic.

Five processes like the project's: a generator that stores and sends, routing, inquiry, publisher, the log.
Each hop reads, COPYs as many rows of as many bytes as the project leaves behind there, and sends as many
records of as many bytes. Nothing is locked, checked, deduplicated, hashed, signed or parsed.
"""

import asyncio
import logging
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.appended import WARM_UP_SECONDS, latencies
from bench.generator import IN_FLIGHT, SPAWN
from bench.shape import Shape
from harness.schema import make_topics
from shared.contracts.addresses import topic_name
from shared.kafka_access import KafkaAccess

BATCH = 200
HOPS = ("generator", "routing", "inquiry", "publisher", "log")
_LOOK_SECONDS = 0.05
_FULL_WAIT = 0.005
_READ = 4000
_RUNS = 3
LATENCY_SECONDS = 20
_POOL_BYTES = 1 << 20
_EPSILON = 1e-3  # sums of fractions end a little below the whole number that they mean


@dataclass(frozen=True, slots=True)
class Floor:
    """The servers, topics and amount of one run of the floor; `rate` per second, or 0 for no limit."""

    database_url: str
    access: KafkaAccess
    namespace: str
    units: tuple[str, ...]
    inquiries: int
    shape: Shape
    rate: float = 0

    @property
    def inquiry(self) -> str:
        return topic_name(self.namespace, "inquiry")

    @property
    def routing(self) -> str:
        return topic_name(self.namespace, "routing")

    def unit(self, number: int) -> str:
        return topic_name(self.namespace, "department", self.units[number % len(self.units)])

    def wanted(self, hop: str) -> int:
        """How many records the hop sees: inquiry's, routing's or both."""
        said = int(self.inquiries * self.shape.said + _EPSILON)
        return {"generator": self.inquiries, "routing": self.inquiries, "inquiry": said}.get(
            hop, self.inquiries + said
        )


async def floor_rate(
    database_url: str, access: KafkaAccess, units: Sequence[str], shape: Shape, inquiries: int
) -> float:
    """Inquiries a second, the median of three runs, each on its own topics and tables."""
    rates = []
    for number in range(_RUNS):
        namespace = f"floor{os.getpid()}-{number}"
        floor = Floor(database_url, access, namespace, tuple(units), inquiries, shape)
        await make_topics(access, namespace, list(units))
        rates.append(inquiries / await _run(floor))
    return statistics.median(rates)


async def floor_latencies(
    database_url: str, access: KafkaAccess, units: Sequence[str], shape: Shape, rate: float
) -> list[float]:
    """Milliseconds from a row's store to its record on a unit's topic, at `rate`, sorted."""
    namespace = f"floor{os.getpid()}-paced"
    inquiries = int(rate * (WARM_UP_SECONDS + LATENCY_SECONDS))
    floor = Floor(database_url, access, namespace, tuple(units), inquiries, shape, rate)
    await make_topics(access, namespace, list(units))
    await _run(floor)
    topics = [topic_name(namespace, "department", unit) for unit in units]
    return await latencies(access, topics, _begun_ms)


async def _run(floor: Floor) -> float:
    """Seconds from the first row to the last record stored at every hop."""
    connection = await asyncpg.connect(floor.database_url)
    for hop in HOPS:
        await connection.execute(f"DROP TABLE IF EXISTS floor_{hop}")
        await connection.execute(f"CREATE TABLE floor_{hop} (id bigint PRIMARY KEY, data bytea NOT NULL)")
    await connection.close()
    done = {hop: SPAWN.Value("q", 0) for hop in HOPS}
    ready = SPAWN.Barrier(len(HOPS) + 1)
    processes = [SPAWN.Process(target=_main, args=(hop, floor, done, ready), daemon=True) for hop in HOPS]
    for process in processes:
        process.start()
    try:
        await asyncio.to_thread(ready.wait, 120)
        begun = time.monotonic()
        while any(done[hop].value < floor.wanted(hop) for hop in HOPS):
            if any(process.exitcode for process in processes):
                raise RuntimeError("a process of the floor has failed")
            await asyncio.sleep(_LOOK_SECONDS)
        return time.monotonic() - begun
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _main(hop: str, floor: Floor, done: dict[str, Any], ready: Any) -> None:
    # Its client logs what it retries and what it left open when we are stopped; neither is news.
    logging.disable()
    uvloop.run(_generate(floor, done, ready) if hop == "generator" else _hop(hop, floor, done[hop], ready))


class _Store:
    """Stores rows of this hop's shape by COPY."""

    def __init__(self, hop: str, shape: Shape, connection: asyncpg.Connection) -> None:
        self._table = f"floor_{hop}"
        self._rows, size = shape.rows[hop], shape.row_bytes[hop]
        # Random, so that PostgreSQL does not compress what in the project is other text in each row.
        pool = os.urandom(_POOL_BYTES)
        self._data = [pool[i : i + size] for i in range(0, len(pool) - size, 997)]
        self._connection = connection
        self._stored = 0
        self._due = 0.0

    async def store(self, inquiries: float) -> None:
        self._due += inquiries * self._rows
        count, first = int(self._due) - self._stored, self._stored
        if count <= 0:
            return
        data = self._data
        rows = [(number, data[number % len(data)]) for number in range(first, first + count)]
        await self._connection.copy_records_to_table(self._table, records=rows)
        self._stored += count


class _Sender:
    """Record batches, one per partition, like the relay's publish batches."""

    def __init__(self, access: KafkaAccess) -> None:
        self._producer: Any = AIOKafkaProducer(
            **access.options(), acks="all", enable_idempotence=True, max_batch_size=512 * 1024
        )
        self._pool = os.urandom(_POOL_BYTES)
        self._sent = 0

    async def start(self) -> None:
        await self._producer.start()

    async def send(self, topics: Sequence[str], size: int, keys: Sequence[bytes]) -> None:
        """One record of `size` bytes for each name in `topics`, spread over their partitions."""
        batches: dict[tuple[str, int], Any] = {}
        full: list[tuple[str, int, Any]] = []
        for topic, key in zip(topics, keys, strict=True):
            self._sent += 1
            partitions = await self._producer.partitions_for(topic)
            place = (topic, self._sent % len(partitions))
            start = self._sent * 997 % (_POOL_BYTES - size)
            value = self._pool[start : start + size]
            batch = batches.get(place)
            if batch is None or batch.append(key=key, value=value, timestamp=None) is None:
                if batch is not None:
                    full.append((*place, batch))
                batches[place] = batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        waiting = full + [(*place, batch) for place, batch in batches.items()]
        futures = [
            await self._producer.send_batch(batch, topic, partition=partition)
            for topic, partition, batch in waiting
        ]
        await asyncio.gather(*futures)


def _key(begun_ms: int) -> bytes:
    """A key as long as an id, which likewise holds the time at which it was made."""
    return b"%036d" % begun_ms


def _begun_ms(key: bytes) -> float:
    return float(key)


async def _generate(floor: Floor, done: dict[str, Any], ready: Any) -> None:
    store = _Store("generator", floor.shape, await asyncpg.connect(floor.database_url))
    sender = _Sender(floor.access)
    await sender.start()
    await asyncio.to_thread(ready.wait, 120)
    own = done["generator"]
    begun = time.monotonic()
    while own.value < floor.inquiries:
        through = min(done[hop].value / floor.wanted(hop) for hop in HOPS[1:]) * floor.inquiries
        count = min(BATCH, floor.inquiries - own.value, int(through) + IN_FLIGHT - own.value)
        if floor.rate:
            count = min(count, int((time.monotonic() - begun) * floor.rate) - own.value)
        if count <= 0:
            await asyncio.sleep(_FULL_WAIT)
            continue
        key = _key(time.time_ns() // 1_000_000)
        await store.store(count)
        await sender.send([floor.inquiry] * count, floor.shape.inquiry_bytes, [key] * count)
        own.value += count


def _spread(keys: Sequence[bytes], count: int) -> list[bytes]:
    """`count` of the keys, or each several times, evenly."""
    return [keys[number * len(keys) // count] for number in range(count)]


async def _hop(hop: str, floor: Floor, done: Any, ready: Any) -> None:
    shape = floor.shape
    store = _Store(hop, shape, await asyncpg.connect(floor.database_url))
    sender = _Sender(floor.access)
    await sender.start()
    consumer: Any = AIOKafkaConsumer(
        **floor.access.options(), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    metadata = await consumer._client.fetch_all_metadata()
    topics = {"routing": [floor.inquiry], "inquiry": [floor.routing]}.get(hop, [floor.inquiry, floor.routing])
    consumer.assign([TopicPartition(t, p) for t in topics for p in metadata.partitions_for_topic(t)])
    await asyncio.to_thread(ready.wait, 120)
    events_each = {"routing": 1.0, "inquiry": shape.said}.get(hop, 1 + shape.said)
    said = records = 0
    due_said = due_records = 0.0
    while True:
        found = await consumer.getmany(timeout_ms=50, max_records=_READ)
        count = sum(map(len, found.values()))
        if not count:
            continue
        await store.store(count / events_each)
        if hop == "routing":
            keys = [record.key for records_of in found.values() for record in records_of]
            due_said, due_records = due_said + count * shape.said, due_records + count * shape.records
            routed = int(due_said + _EPSILON) - said
            await sender.send([floor.routing] * routed, shape.routing_bytes, _spread(keys, routed))
            units = [floor.unit(number) for number in range(records, int(due_records + _EPSILON))]
            await sender.send(units, shape.department_bytes, _spread(keys, len(units)))
            said, records = said + routed, records + len(units)
        done.value += count
