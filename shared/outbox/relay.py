"""Publishes the outbox to Kafka, in commit order per key.

The outbox is sharded by key, and an advisory lock on a session of its own gives each shard one owner. A
publish batch is one record batch per partition, so that no record of a key is in flight behind a failed one;
acknowledged rows are deleted. The rows of a topic that refuses move to the table `outbox_aside`: the topic is
paused and retried with backoff.

Kafka transactions, FastStream's `publish_batch` and LISTEN/NOTIFY are not used: each loses or reorders
records.
"""

import asyncio
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg

from shared import sql
from shared.errors import Stale
from shared.infrastructure import is_passing
from shared.kafka.client import KafkaError, Producer, PublishResult, RecordMetadata
from shared.logs import get_logger
from shared.metrics import PAUSED, PUBLISH_SECONDS, RELAY_FAULTS, RELAYED
from shared.outbox.fence import Fence
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx

QUERIES = sql.load("shared.outbox")
log = get_logger(__name__)

SHARDS = 16
BATCH_ROWS = 3000
# A partition accepts half a megabyte per publish batch: reading more than all partitions accept costs memory.
BATCH_BYTES = 8 * 1024 * 1024
_POLL_SECONDS = 0.05
# Pause between batches that are not full: a batch costs the broker the same with one event or a hundred.
_PACE_SECONDS = 0.03
_SHARE_SECONDS = 1.0
# The lock number after the shards: every live relay holds it in shared mode, so that relays can be counted.
_ALIVE = SHARDS
# The outbox has no rows or thousands, and many dead ones that vacuum has not reached, so the planner's
# statistics are mostly wrong; only an index scan reads the live rows and nothing else.
_PLANS = """
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off
"""
# How often a paused topic is retried, and how long one retry may block the other topics.
_RETRY_PAUSED_SECONDS = 2.0
_LONGEST_BACKOFF_SECONDS = 60.0
_RETRY_TIMEOUT_SECONDS = 3.0


class Row(NamedTuple):
    """One event of the outbox; the columns of `take_batch` in their order."""

    id: int
    shard: int
    topic: str
    key: str
    value: bytes
    words: bytes | None
    delivery: str | None


OnDelivered = Callable[[Tx, Sequence[tuple[Row, RecordMetadata]]], Awaitable[None]]
"""Called with rows that have a `delivery`, and their partition and offset, before their deletion commits."""
DeliveryLock = Callable[[Row], str]
"""Names the aggregate that `OnDelivered` changes for a row."""


@dataclass(slots=True)
class _PausedTopic:
    """A topic that refuses: its next retry (monotonic time), the backoff in seconds, its waiting events."""

    retry_at: float
    backoff: float = _RETRY_PAUSED_SECONDS
    events: int = 0


def alive_lock(service: str) -> tuple[int, int]:
    """The advisory lock that every live relay of a service holds in shared mode."""
    return zlib.crc32(f"relay {service}".encode()) & 0x7FFFFFFF, _ALIVE


class Relay:
    """The relay of one service. Several replicas share the shards.

    Parameters
    ----------
    database
        The service's database, which holds the outbox.
    producer
        The relay starts it when it first needs it and renews it after a failed batch. The caller stops it.
    on_delivered
        Called for acknowledged rows that have a `delivery`, in the transaction that deletes them, so that a
        delivery is recorded exactly once. Without it, or without `delivery_lock`, the rows are only deleted.
    delivery_lock
        Names the aggregate of each such row; all of them are locked before `on_delivered` runs.
    fence
        Compares the database with the service's topic before each session sends anything.
    """

    def __init__(
        self,
        database: Database,
        producer: Producer,
        *,
        on_delivered: OnDelivered | None = None,
        delivery_lock: DeliveryLock | None = None,
        fence: Fence | None = None,
    ) -> None:
        self._database = database
        self._producer = producer
        self._on_delivered = on_delivered
        self._delivery_lock = delivery_lock
        self._fence = fence
        self._session: asyncpg.Connection | None = None
        self._shards: list[int] = []
        self._paused: dict[str, _PausedTopic] = {}
        self._failed: set[str] = set()
        self._last_share = 0.0
        self._locks, _ = alive_lock(database.settings.service)

    @property
    def paused_topics(self) -> list[str]:
        """Names of the topics that refuse at present, sorted; `/readyz` shows them."""
        return sorted(self._paused)

    async def run(self) -> None:
        """Publishes until cancelled.

        Raises
        ------
        Exception
            Whatever `once` raises, except faults of the database or the broker: those are waited out.
        """
        wait = _POLL_SECONDS
        try:
            while True:
                try:
                    await self._paced_once()
                    wait = _POLL_SECONDS
                except Exception as error:
                    if not is_passing(error, KafkaError, Stale):
                        raise
                    log.warning("relay waits", error=repr(error))
                    RELAY_FAULTS.inc()
                    await self._release()
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, 5)
        finally:
            await self._release()

    async def once(self) -> int:
        """Retries paused topics that are due, then sends one publish batch.

        Returns
        -------
        int
            Number of acknowledged events of the publish batch, retries not included.

        Raises
        ------
        KafkaError
            If no broker answers.
        Stale
            If another relay has deleted rows of this batch.
        DatabaseBehind, HistoryReplaced
            If the fence finds a restored database; nothing is sent.
        asyncpg.PostgresError, OSError
            If the database is away.
        """
        session = await self._own_shards()
        if not self._shards:
            return 0
        started = time.perf_counter()
        await self._retry_paused(session)
        found = await session.fetch(QUERIES["take_batch"], self._shards, BATCH_ROWS, BATCH_BYTES)
        rows = [Row(*row) for row in found]
        # Rows of a paused topic that were committed since must wait behind those in `outbox_aside`.
        rows = [row for row in rows if row.topic not in self._paused]
        if not rows:
            return 0
        missing = await self._producer.missing({row.topic for row in rows})
        rows = [row for row in rows if row.topic not in missing]
        result = await self._send(session, rows, QUERIES["delete_sent"])
        # When the batch held a single topic, a failure may be the broker's: the topic is paused only if it
        # fails again after the broker has answered.
        failed = result.failed.keys()
        self._pause(missing | result.refused | (failed & self._failed))
        self._failed = set(failed)
        PUBLISH_SECONDS.observe(time.perf_counter() - started)
        return len(result.sent)

    async def _paced_once(self) -> None:
        started = time.monotonic()
        sent = await self.once()
        if sent == 0:
            await self._idle()
        elif sent < BATCH_ROWS // 2:
            await asyncio.sleep(max(0.0, started + _PACE_SECONDS - time.monotonic()))

    async def _send(
        self,
        session: asyncpg.Connection,
        rows: Sequence[Row],
        query: str,
        *more: Any,
        seconds: float | None = None,
    ) -> PublishResult:
        """Sends the rows and deletes the acknowledged ones with `query`."""
        result = await self._producer.publish(
            [(row.topic, row.key.encode(), row.value, row.words) for row in rows], seconds
        )
        try:
            # Before the renewal, which fails while the broker is away.
            await self._delete(
                session, [(rows[index], record) for index, record in result.sent], query, *more
            )
        finally:
            if result.failed:
                # A failed batch leaves a hole in the idempotent producer's numbering of its partition.
                RELAY_FAULTS.inc()
                errors = sorted(set(result.failed.values()))
                log.warning("batches failed", topics=sorted(result.failed), errors=errors)
                await self._producer.renew()
        return result

    async def _delete(
        self, session: asyncpg.Connection, sent: Sequence[tuple[Row, RecordMetadata]], query: str, *more: Any
    ) -> None:
        if not sent:
            return
        delivered = [(row, record) for row, record in sent if row.delivery is not None]
        ids = [row.shard for row, _ in sent], [row.id for row, _ in sent]
        if delivered and self._on_delivered and self._delivery_lock:
            # A replica that has lost its session must not count a delivery twice: the number of deleted rows
            # decides.
            locks = {self._delivery_lock(row) for row, _ in delivered}
            async with self._database.transaction(locks, connection=session) as tx:
                status = await session.execute(query, *ids, *more)
                if status != f"DELETE {len(sent)}":
                    raise Stale("another relay has deleted rows of this batch")
                await self._on_delivered(tx, delivered)
        else:
            await session.execute(query, *ids, *more)
        for topic, count in Counter(row.topic for row, _ in sent).items():
            RELAYED.labels(topic).inc(count)

    def _pause(self, topics: set[str]) -> None:
        for topic in topics - self._paused.keys():
            log.warning("topic paused", topic=topic)
            self._paused[topic] = _PausedTopic(time.monotonic() + _RETRY_PAUSED_SECONDS)

    async def _retry_paused(self, session: asyncpg.Connection) -> None:
        """Moves newer rows of paused topics out of the outbox, and retries the topics that are due."""
        if not self._paused:
            return
        for row in await session.fetch(QUERIES["pause_topic_rows"], self._shards, list(self._paused)):
            self._count_paused(row["topic"], row["n"])
        for topic, paused in list(self._paused.items()):
            if paused.retry_at > time.monotonic():
                continue
            if await self._producer.missing({topic}):
                paused.retry_at = time.monotonic() + _RETRY_PAUSED_SECONDS
            else:
                await self._retry_topic(session, topic, paused)

    async def _retry_topic(self, session: asyncpg.Connection, topic: str, paused: _PausedTopic) -> None:
        """Sends one publish batch of a paused topic, oldest rows first; only one, since other topics wait."""
        paused.retry_at = time.monotonic() + paused.backoff
        found = await session.fetch(
            QUERIES["take_paused_batch"], self._shards, topic, BATCH_ROWS, BATCH_BYTES
        )
        if not found:
            self._count_paused(topic, -paused.events)
            del self._paused[topic]
            log.info("topic resumed", topic=topic)
            return
        rows = [Row(*row) for row in found]
        result = await self._send(
            session, rows, QUERIES["delete_sent_paused"], topic, seconds=_RETRY_TIMEOUT_SECONDS
        )
        self._count_paused(topic, -len(result.sent))
        if result.failed:
            paused.backoff = min(paused.backoff * 2, _LONGEST_BACKOFF_SECONDS)
            paused.retry_at = time.monotonic() + paused.backoff
        else:
            paused.backoff, paused.retry_at = _RETRY_PAUSED_SECONDS, time.monotonic()

    def _count_paused(self, topic: str, change: int) -> None:
        paused = self._paused[topic]
        paused.events += change
        PAUSED.labels(topic).set(paused.events)

    async def _own_shards(self) -> asyncpg.Connection:
        """The session that holds the shards' locks; opens it, and shares the shards once a second."""
        if self._session is None or self._session.is_closed():
            self._shards = []
            self._session = await self._database.connect()
            await self._session.execute(_PLANS)
            await self._session.execute(QUERIES["announce_relay"], self._locks, _ALIVE)
            if self._fence is not None:
                await self._fence.check(self._session)
            self._last_share = 0.0
        now = time.monotonic()
        if now - self._last_share >= _SHARE_SECONDS:
            self._last_share = now
            if self._fence is not None:
                await self._fence.tend(self._session)
            await self._share(self._session)
        return self._session

    async def _share(self, session: asyncpg.Connection) -> None:
        """Claims free shards up to a fair part and releases any above it; nothing is in flight here.

        A hung replica keeps its shards until its database session ends.
        """
        before = set(self._shards)
        fair = -(-SHARDS // await session.fetchval(QUERIES["live_relays"], self._locks, _ALIVE))
        while len(self._shards) > fair:
            await session.execute(QUERIES["release_shard"], self._locks, self._shards.pop())
        for shard in set(range(SHARDS)) - before:
            if len(self._shards) >= fair:
                break
            if await session.fetchval(QUERIES["claim_shard"], self._locks, shard):
                self._shards.append(shard)
        if before == set(self._shards):
            return
        found = await session.fetch(QUERIES["count_paused_rows"], self._shards)
        waiting = {row["topic"]: row["n"] for row in found}
        for topic in waiting.keys() - self._paused.keys():
            self._paused[topic] = _PausedTopic(time.monotonic())
        for topic, paused in self._paused.items():
            self._count_paused(topic, waiting.get(topic, 0) - paused.events)

    async def _release(self) -> None:
        session, self._session, self._shards, self._failed = self._session, None, [], set()
        for topic, paused in self._paused.items():
            # The next owner of the shards counts what waits in them.
            self._count_paused(topic, -paused.events)
        if session is not None:
            # Closing the session frees its locks at once.
            session.terminate()

    async def _idle(self) -> None:
        # `wait_for` of Python 3.11 swallows a cancellation that comes together with a commit.
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await self._database.committed.wait()
        self._database.committed.clear()
