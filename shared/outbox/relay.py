"""Publishes the outbox to Kafka, in commit order per key.

The outbox is sharded by key, and an advisory lock on a session of its own gives each shard one owner. A
publish batch is one record batch per partition, so that no record of a key is in flight behind a failed one;
acknowledged rows are deleted. The rows of a topic that refuses move to the table `outbox_aside`: the topic is
paused and retried with backoff, beside the publish batches and by a producer of its own, so that the other
topics wait neither for its answer nor for its pile.

Kafka transactions, FastStream's `publish_batch` and LISTEN/NOTIFY are not used: each loses or reorders
records.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import asyncpg

from shared import sql
from shared.errors import Stale
from shared.infrastructure import is_passing
from shared.kafka.client import KafkaError, Producer, PublishResult, RecordMetadata
from shared.logs import get_logger
from shared.metrics import PUBLISH_SECONDS, RELAY_FAULTS, RELAYED
from shared.outbox.fence import Fence
from shared.outbox.paused_topics import PausedTopics
from shared.outbox.rows import BATCH_BYTES, BATCH_ROWS, Row
from shared.outbox.widths import TopicWidths, lock_class
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx

QUERIES = sql.load("shared.outbox")
log = get_logger(__name__)

SHARDS = 16
# How often the outbox is looked at for what other processes write: less often after a second without events.
_POLL_SECONDS, _IDLE_POLL_SECONDS = 0.05, 0.2
_IDLE_POLLS = 20
# After a batch that is not full the relay rests as long as the batch took, up to this: a batch costs the
# broker the same with one event or a hundred. An event after a silence goes at once; batches grow with load.
_LONGEST_PAUSE_SECONDS = 0.1
_SHARE_SECONDS = 1.0
# The lock number after the shards: every live relay holds it in shared mode, so that relays can be counted.
_ALIVE = SHARDS
# The outbox has no rows or thousands, and many dead ones that vacuum has not reached, so the planner's
# statistics are mostly wrong; only an index scan reads the live rows and nothing else.
PLAN_SETTINGS = """
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
SET plan_cache_mode = force_generic_plan
"""
# By these the server says that it cannot write at present. The session is sound and keeps its shards: another
# relay could not delete what it sends either.
_SESSION_HOLDS = (
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,
)
# How long a retry of paused topics waits for the broker.
_RETRY_TIMEOUT_SECONDS = 3.0


OnDelivered = Callable[[Tx, Sequence[tuple[Row, RecordMetadata]]], Awaitable[None]]
"""Called with rows that have a `delivery`, and their partition and offset, before their deletion commits."""
DeliveryLock = Callable[[Row], str]
"""Names the aggregate that `OnDelivered` changes for a row."""


class _Acknowledged(NamedTuple):
    """Rows that the broker has acknowledged, and the statement that deletes them."""

    rows: list[tuple[Row, RecordMetadata]]
    query: str


def alive_lock(service: str) -> tuple[int, int]:
    """The advisory lock that every live relay of a service holds in shared mode."""
    return lock_class("relay", service), _ALIVE


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
        self._paused = PausedTopics()
        self._failed: set[str] = set()
        self._undeleted: list[_Acknowledged] = []
        self._retry: asyncio.Task[None] | None = None
        self._retry_producer: Producer | None = None
        # Publish batches and the retry use the session in turn; neither holds it while the broker works.
        self._session_lock = asyncio.Lock()
        self._last_share = 0.0
        self._idle_polls = 0
        self._locks, _ = alive_lock(database.settings.service)
        self._widths = TopicWidths(producer, database.settings.service)

    @property
    def paused_topics(self) -> list[str]:
        """Names of the topics that refuse at present, sorted; `/readyz` shows them."""
        return self._paused.names

    @property
    def held_topics(self) -> dict[str, str]:
        """Reason by topic that gets no events because of its number of partitions; `/readyz` shows them."""
        return self._widths.held

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
                    if not isinstance(error, _SESSION_HOLDS):
                        await self._release()
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, 5)
        finally:
            await self._release()

    async def once(self) -> int:
        """Begins to retry the paused topics that are due, if no retry runs, and sends one publish batch.

        After rows were acknowledged and could not be deleted, nothing is sent until their deletion succeeds:
        while the database refuses, each batch would be sent again and again.

        Returns
        -------
        int
            Number of events that left the outbox: acknowledged, or moved because their topic was paused
            before.

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
        await self._delete_acknowledged(session)
        if not self._shards:
            return 0
        started = time.perf_counter()
        self._begin_retry(session)
        async with self._session_lock:
            found = await session.fetch(QUERIES["take_batch"], self._shards, BATCH_ROWS, BATCH_BYTES)
            taken = [Row(*row) for row in found]
            # Rows of a paused topic must wait behind those in `outbox_aside`.
            rows = await self._paused.move(session, taken)
        moved = len(taken) - len(rows)
        if not rows:
            return moved
        topics = {row.topic for row in rows}
        async with self._session_lock:
            fit = await self._widths.fit(session, topics)
        present = [row for row in rows if row.topic in fit]
        result = await self._send(session, self._producer, present, "delete_sent")
        # When the batch held a single topic, a failure may be the broker's: the topic is paused only if it
        # fails again after the broker has answered.
        failed = result.failed.keys()
        self._paused.pause((topics - fit) | result.refused | (failed & self._failed))
        self._failed = set(failed)
        sent = {present[index].id for index, _ in result.sent}
        async with self._session_lock:
            await self._paused.move(session, [row for row in rows if row.id not in sent])
        PUBLISH_SECONDS.observe(time.perf_counter() - started)
        return len(sent) + moved

    async def _paced_once(self) -> None:
        started = time.monotonic()
        sent = await self.once()
        self._idle_polls = self._idle_polls + 1 if sent == 0 else 0
        if sent == 0:
            await self._idle(_POLL_SECONDS if self._idle_polls < _IDLE_POLLS else _IDLE_POLL_SECONDS)
        elif sent < BATCH_ROWS // 2:
            await asyncio.sleep(min(time.monotonic() - started, _LONGEST_PAUSE_SECONDS))

    async def _send(
        self,
        session: asyncpg.Connection,
        producer: Producer,
        rows: Sequence[Row],
        query: str,
        seconds: float | None = None,
    ) -> PublishResult:
        """Sends the rows and deletes the acknowledged ones with `query`."""
        result = await producer.publish(
            [(row.topic, row.key.encode(), row.value, row.words) for row in rows],
            seconds,
            widths=self._widths.kept,
        )
        try:
            # Before the renewal, which fails while the broker is away.
            if result.sent:
                sent = [(rows[index], record) for index, record in result.sent]
                self._undeleted.append(_Acknowledged(sent, query))
                await self._delete_acknowledged(session)
        finally:
            if result.failed:
                # A failed batch leaves a hole in the idempotent producer's numbering of its partition.
                RELAY_FAULTS.inc()
                errors = sorted(set(result.failed.values()))
                log.warning("batches failed", topics=sorted(result.failed), errors=errors)
                await producer.renew()
        return result

    async def _delete_acknowledged(self, session: asyncpg.Connection) -> None:
        """Deletes what the broker has acknowledged, also what could not be deleted before.

        A shard that was lost meanwhile is left to its owner, who sends its rows again.
        """
        async with self._session_lock:
            while self._undeleted:
                rows, query = self._undeleted[0]
                try:
                    await self._delete(session, [r for r in rows if r[0].shard in self._shards], query)
                except Stale:
                    self._undeleted.pop(0)
                    raise
                self._undeleted.pop(0)

    async def _delete(
        self, session: asyncpg.Connection, sent: Sequence[tuple[Row, RecordMetadata]], query: str
    ) -> None:
        if not sent:
            return
        delivered = [(row, record) for row, record in sent if row.delivery is not None]
        places: list[list[Any]] = [[row.shard for row, _ in sent], [row.id for row, _ in sent]]
        was_paused = query == "delete_sent_paused"
        if was_paused:
            places.append([row.topic for row, _ in sent])
        if delivered and self._on_delivered and self._delivery_lock:
            # A replica that has lost its session must not count a delivery twice: the number of deleted rows
            # decides.
            locks = {self._delivery_lock(row) for row, _ in delivered}
            async with self._database.transaction(locks, connection=session) as tx:
                status = await session.execute(QUERIES[query], *places)
                if status != f"DELETE {len(sent)}":
                    raise Stale("another relay has deleted rows of this batch")
                await self._on_delivered(tx, delivered)
        else:
            await session.execute(QUERIES[query], *places)
        for topic, count in Counter(row.topic for row, _ in sent).items():
            RELAYED.labels(topic).inc(count)
            if was_paused:
                self._paused.count(topic, -count)

    def _begin_retry(self, session: asyncpg.Connection) -> None:
        """Starts the retry of the topics that are due. Raises what ended the one before."""
        if self._retry is not None:
            if not self._retry.done():
                return
            ended, self._retry = self._retry, None
            ended.result()
        if due := self._paused.due():
            self._retry = asyncio.create_task(self._retry_topics(session, due))

    async def _retry_topics(self, session: asyncpg.Connection, due: Sequence[str]) -> None:
        """Sends one publish batch of paused topics, oldest rows first."""
        producer = self._retry_producer = self._retry_producer or self._producer.another("retry")
        async with self._session_lock:
            fit = await self._widths.fit(session, set(due))
            self._paused.postpone(set(due) - fit)
            rows = await self._paused.take(session, self._shards, [topic for topic in due if topic in fit])
        if not rows:
            return
        result = await self._send(session, producer, rows, "delete_sent_paused", _RETRY_TIMEOUT_SECONDS)
        for topic in {row.topic for row in rows}:
            self._paused.retried(topic, failed=topic in result.failed)

    async def _end_retry(self) -> None:
        """Waits for the retry that runs, if any; its error is raised by the next `once`."""
        if self._retry is not None:
            await asyncio.wait([self._retry])

    async def _own_shards(self) -> asyncpg.Connection:
        """The session that holds the shards' locks; opens it, and shares the shards once a second."""
        if self._session is None or self._session.is_closed():
            self._shards = []
            self._session = await self._open_session()
            self._last_share = 0.0
        now = time.monotonic()
        # What was sent and not deleted stays here: a new owner of its shard would send it again.
        settled = not self._undeleted or not self._shards
        if settled and now - self._last_share >= _SHARE_SECONDS:
            self._last_share = now
            await self._refresh_widths(self._session)
            if self._fence is not None:
                async with self._session_lock:
                    await self._fence.tend(self._session)
            await self._share(self._session)
        return self._session

    async def _refresh_widths(self, session: asyncpg.Connection) -> None:
        async with self._session_lock:
            changed = await self._widths.has_changed(session)
        if changed:
            # What is in flight was hashed by the old widths: it has to be on its topic first.
            await self._end_retry()
            async with self._session_lock:
                await self._widths.refresh(session)

    async def _open_session(self) -> asyncpg.Connection:
        session = await self._database.connect()
        try:
            await session.execute(PLAN_SETTINGS)
            await session.execute(QUERIES["announce_relay"], self._locks, _ALIVE)
            if self._fence is not None:
                await self._fence.check(session)
        except BaseException:
            session.terminate()
            raise
        return session

    async def _share(self, session: asyncpg.Connection) -> None:
        """Claims free shards up to a fair part and releases any above it; nothing is in flight here.

        A hung replica keeps its shards until its database session ends.
        """
        async with self._session_lock:
            relays = await session.fetchval(QUERIES["live_relays"], self._locks, _ALIVE)
        fair = -(-SHARDS // relays)
        if len(self._shards) > fair:
            await self._end_retry()
        async with self._session_lock:
            await self._claim_and_release(session, fair)

    async def _claim_and_release(self, session: asyncpg.Connection, fair: int) -> None:
        before = set(self._shards)
        while len(self._shards) > fair:
            await session.execute(QUERIES["release_shard"], self._locks, self._shards.pop())
        for shard in set(range(SHARDS)) - before:
            if len(self._shards) >= fair:
                break
            if await session.fetchval(QUERIES["claim_shard"], self._locks, shard):
                self._shards.append(shard)
        if before == set(self._shards):
            return
        await self._paused.own(session, self._shards)

    async def _release(self) -> None:
        if self._retry is not None:
            retry, self._retry = self._retry, None
            retry.cancel()
            await asyncio.wait([retry])
            if not retry.cancelled() and (error := retry.exception()):
                log.error("the retry of paused topics ends", error=repr(error), exc_info=error)
        if self._retry_producer is not None:
            producer, self._retry_producer = self._retry_producer, None
            await producer.stop()
        session, self._session, self._shards, self._failed = self._session, None, [], set()
        self._paused.disown()
        if session is not None:
            # Closing the session frees its locks at once.
            session.terminate()

    async def _idle(self, seconds: float) -> None:
        # `wait_for` of Python 3.11 swallows a cancellation that comes together with a commit.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._database.committed.wait()
        self._database.committed.clear()
