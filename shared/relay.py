"""From the outbox to Kafka, in commit order per key.

Sharded by key, each shard owned through an advisory lock on a session of its own. A wave is one record
batch per partition, so that nothing of a key is in flight behind a failed predecessor; what was
acknowledged is deleted. A topic that refuses has its rows moved aside and tried with backoff.
Kafka transactions, `publish_batch` and LISTEN/NOTIFY are not used: each loses or reorders something.
"""

import asyncio
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import asyncpg

from shared.database import Database
from shared.errors import Stale
from shared.infrastructure import is_infrastructure
from shared.kafka import KafkaError, Producer, Sent
from shared.logs import get_logger
from shared.metrics import RELAY_FAULTS, RELAYED, SET_ASIDE, WAVE_SECONDS
from shared.transaction import QUERIES, Tx

log = get_logger(__name__)

SHARDS = 16
WAVE = 3000
_POLL_SECONDS = 0.05
# From wave to wave, unless they are full: a wave costs the broker the same with one event or a hundred.
_PACE_SECONDS = 0.03
_STEAL_SECONDS = 1.0
# The outbox is as good as empty, or has thousands of rows a moment later, and many more that are gone but not
# yet cleared away: whatever suits an empty table, only its index reads what is there and no more.
_PLANS = """
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off
"""
_RETRY_ASIDE_SECONDS = 2.0


class Row(NamedTuple):
    """One event of the outbox; the columns of `take_wave` in their order."""

    id: int
    shard: int
    topic: str
    key: str
    value: bytes
    words: bytes | None
    delivery: str | None


OnDelivered = Callable[[Tx, Sequence[tuple[Row, Sent]]], Awaitable[None]]
TouchedByDelivery = Callable[[Row], str]


class Relay:
    """One relay of one service. Several copies share the shards."""

    def __init__(
        self,
        database: Database,
        producer: Producer,
        *,
        on_delivered: OnDelivered | None = None,
        touched_by: TouchedByDelivery | None = None,
    ) -> None:
        self._database = database
        self._producer = producer
        self._on_delivered = on_delivered
        self._touched_by = touched_by
        self._session: asyncpg.Connection | None = None
        self._shards: list[int] = []
        self._aside: dict[str, float] = {}
        self._last_steal = 0.0

    @property
    def set_aside(self) -> list[str]:
        """Topics that refuse at present; `/readyz` names them."""
        return sorted(self._aside)

    async def run(self) -> None:
        """Until cancelled. Faults of infrastructure are waited out."""
        wait = _POLL_SECONDS
        try:
            while True:
                try:
                    begun = time.monotonic()
                    sent = await self.once()
                    wait = _POLL_SECONDS
                    if sent == 0:
                        await self._idle()
                    elif sent < WAVE // 2:
                        await asyncio.sleep(max(0.0, begun + _PACE_SECONDS - time.monotonic()))
                except Exception as error:
                    if not (is_infrastructure(error) or isinstance(error, KafkaError | Stale)):
                        raise
                    log.warning("relay waits", error=repr(error))
                    RELAY_FAULTS.inc()
                    await self._release()
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, 5)
        finally:
            await self._release()

    async def once(self) -> int:
        """One wave; the number of events acknowledged."""
        session = await self._own_shards()
        if not self._shards:
            return 0
        started = time.perf_counter()
        await self._retry_aside(session)
        if self._aside:
            await session.execute(QUERIES["set_aside"], self._shards, list(self._aside))
        rows = [Row(*r) for r in await session.fetch(QUERIES["take_wave"], self._shards, WAVE)]
        if not rows:
            return 0
        refused = await self._producer.missing({row.topic for row in rows})
        if refused:
            await self._begin_aside(refused)
            rows = [row for row in rows if row.topic not in refused]
        sent, topics = await self._send(rows)
        await self._delete(session, sent, QUERIES["delete_sent"])
        if topics:
            await self._begin_aside(topics)
        WAVE_SECONDS.observe(time.perf_counter() - started)
        return len(sent)

    async def _send(self, rows: Sequence[Row]) -> tuple[list[tuple[Row, Sent]], set[str]]:
        """The acknowledged rows, and the topics that refused (their rows are tried aside)."""
        outcome = await self._producer.send_wave(
            [(row.topic, row.key.encode(), row.value, row.words) for row in rows]
        )
        sent = [(rows[index], place) for index, place in outcome.sent]
        if outcome.failed:
            # A batch that failed leaves the idempotent producer's numbering broken for its partition.
            RELAY_FAULTS.inc()
            log.warning(
                "batches refused", topics=sorted(outcome.failed), errors=sorted(set(outcome.failed.values()))
            )
            await self._producer.renew()
        return sent, set(outcome.refused)

    async def _delete(
        self, session: asyncpg.Connection, sent: Sequence[tuple[Row, Sent]], query: str, *more: Any
    ) -> None:
        if not sent:
            return
        delivered = [(row, place) for row, place in sent if row.delivery is not None]
        ids = [row.shard for row, _ in sent], [row.id for row, _ in sent]
        if delivered and self._on_delivered and self._touched_by:
            # A copy that lost its session must not count a delivery twice: the delete decides.
            touched = {self._touched_by(row) for row, _ in delivered}
            async with self._database.transaction(touched, connection=session) as tx:
                status = await session.execute(query, *ids, *more)
                if status != f"DELETE {len(sent)}":
                    raise Stale("another relay has deleted rows of this wave")
                await self._on_delivered(tx, delivered)
        else:
            await session.execute(query, *ids, *more)
        for topic, count in Counter(row.topic for row, _ in sent).items():
            RELAYED.labels(topic).inc(count)

    async def _begin_aside(self, topics: set[str]) -> None:
        for topic in topics - self._aside.keys():
            log.warning("topic refuses: its events are set aside", topic=topic)
            self._aside[topic] = time.monotonic() + _RETRY_ASIDE_SECONDS

    async def _retry_aside(self, session: asyncpg.Connection) -> None:
        """Sends what was set aside of topics that may be back, oldest first, before anything newer."""
        now = time.monotonic()
        for topic in [topic for topic, due in self._aside.items() if due <= now]:
            self._aside[topic] = now + _RETRY_ASIDE_SECONDS
            if await self._producer.missing({topic}):
                continue
            await session.execute(QUERIES["set_aside"], self._shards, [topic])
            while True:
                found = await session.fetch(QUERIES["take_aside"], self._shards, topic, WAVE)
                rows = [Row(*r) for r in found]
                if not rows:
                    del self._aside[topic]
                    SET_ASIDE.labels(topic).set(0)
                    log.info("topic is back", topic=topic)
                    break
                sent, _ = await self._send(rows)
                await self._delete(session, sent, QUERIES["delete_aside"], topic)
                if not sent:
                    break

    async def _own_shards(self) -> asyncpg.Connection:
        if self._session is None or self._session.is_closed():
            self._shards = []
            self._session = await self._database.connect()
            await self._session.execute(_PLANS)
            self._last_steal = 0.0
        now = time.monotonic()
        if len(self._shards) < SHARDS and now - self._last_steal >= _STEAL_SECONDS:
            self._last_steal = now
            await self._steal(self._session)
        return self._session

    async def _steal(self, session: asyncpg.Connection) -> None:
        """Takes every free shard. What another copy holds stays with it until its session ends."""
        lock_class = zlib.crc32(f"relay {self._database.settings.service}".encode()) & 0x7FFFFFFF
        for shard in set(range(SHARDS)) - set(self._shards):
            if await session.fetchval("SELECT pg_try_advisory_lock($1, $2)", lock_class, shard):
                self._shards.append(shard)
        for row in await session.fetch(QUERIES["aside_topics"], self._shards):
            SET_ASIDE.labels(row["topic"]).set(row["n"])
            self._aside.setdefault(row["topic"], time.monotonic())

    async def _release(self) -> None:
        session, self._session, self._shards = self._session, None, []
        if session is not None:
            # Closing the session frees its locks at once.
            session.terminate()

    async def _idle(self) -> None:
        # `wait_for` of Python 3.11 would swallow a cancellation that comes together with a commit.
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await self._database.committed.wait()
        self._database.committed.clear()
