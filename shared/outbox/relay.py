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
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg

from shared import sql
from shared.errors import Stale
from shared.infrastructure import is_passing
from shared.kafka.client import KafkaError, Producer, PublishResult, RecordMetadata
from shared.logs import get_logger
from shared.metrics import PAUSED, PUBLISH_SECONDS, RELAY_FAULTS, RELAYED
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx

QUERIES = sql.load("shared.outbox")
log = get_logger(__name__)

SHARDS = 16
BATCH_ROWS = 3000
# A partition takes half a megabyte a wave: to read much more than all of them take would only cost memory.
BATCH_BYTES = 8 * 1024 * 1024
_POLL_SECONDS = 0.05
# From wave to wave, unless they are full: a wave costs the broker the same with one event or a hundred.
_PACE_SECONDS = 0.03
_SHARE_SECONDS = 1.0
# Beside the shards: every live relay holds this lock with the others, so that they can be counted.
_ALIVE = SHARDS
# The outbox is as good as empty, or has thousands of rows a moment later, and many more that are gone but not
# yet cleared away: whatever suits an empty table, only its index reads what is there and no more.
_PLANS = """
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off
"""
# How often a topic that is set aside is tried, and how long it may keep the others waiting then.
_RETRY_ASIDE_SECONDS = 2.0
_LONGEST_ASIDE_SECONDS = 60.0
_TRY_ASIDE_SECONDS = 3.0


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
TouchedByDelivery = Callable[[Row], str]


@dataclass(slots=True)
class _Aside:
    """A topic that refuses: when it is tried again, how long it waits after that, how many events wait."""

    due: float
    wait: float = _RETRY_ASIDE_SECONDS
    events: int = 0


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
        self._aside: dict[str, _Aside] = {}
        self._failed: set[str] = set()
        self._last_share = 0.0
        self._locks = zlib.crc32(f"relay {database.settings.service}".encode()) & 0x7FFFFFFF

    @property
    def paused_topics(self) -> list[str]:
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
                    elif sent < BATCH_ROWS // 2:
                        await asyncio.sleep(max(0.0, begun + _PACE_SECONDS - time.monotonic()))
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
        """One wave; the number of events acknowledged."""
        session = await self._own_shards()
        if not self._shards:
            return 0
        started = time.perf_counter()
        await self._retry_aside(session)
        found = await session.fetch(QUERIES["take_batch"], self._shards, BATCH_ROWS, BATCH_BYTES)
        rows = [Row(*row) for row in found]
        # Of a topic set aside only what was committed since: it waits behind what is there already.
        rows = [row for row in rows if row.topic not in self._aside]
        if not rows:
            return 0
        missing = await self._producer.missing({row.topic for row in rows})
        rows = [row for row in rows if row.topic not in missing]
        outcome = await self._send(session, rows, QUERIES["delete_sent"])
        # A wave of one topic alone tells nothing, unless it fails again after the broker has answered.
        failed = outcome.failed.keys()
        self._begin_aside(missing | outcome.refused | (failed & self._failed))
        self._failed = set(failed)
        PUBLISH_SECONDS.observe(time.perf_counter() - started)
        return len(outcome.sent)

    async def _send(
        self,
        session: asyncpg.Connection,
        rows: Sequence[Row],
        query: str,
        *more: Any,
        seconds: float | None = None,
    ) -> PublishResult:
        """Sends the rows and deletes, by `query`, those that were acknowledged."""
        outcome = await self._producer.publish(
            [(row.topic, row.key.encode(), row.value, row.words) for row in rows], seconds
        )
        try:
            # First, for where the broker is away the renewal fails.
            await self._delete(session, [(rows[index], place) for index, place in outcome.sent], query, *more)
        finally:
            if outcome.failed:
                # A batch that failed leaves the idempotent producer's numbering broken for its partition.
                RELAY_FAULTS.inc()
                errors = sorted(set(outcome.failed.values()))
                log.warning("batches refused", topics=sorted(outcome.failed), errors=errors)
                await self._producer.renew()
        return outcome

    async def _delete(
        self, session: asyncpg.Connection, sent: Sequence[tuple[Row, RecordMetadata]], query: str, *more: Any
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

    def _begin_aside(self, topics: set[str]) -> None:
        for topic in topics - self._aside.keys():
            log.warning("topic refuses: its events are set aside", topic=topic)
            self._aside[topic] = _Aside(time.monotonic() + _RETRY_ASIDE_SECONDS)

    async def _retry_aside(self, session: asyncpg.Connection) -> None:
        """Sends what was set aside of topics that may be back, oldest first, before anything newer."""
        if not self._aside:
            return
        for row in await session.fetch(QUERIES["set_aside"], self._shards, list(self._aside)):
            self._count_aside(row["topic"], row["n"])
        for topic, aside in list(self._aside.items()):
            if aside.due > time.monotonic():
                continue
            if await self._producer.missing({topic}):
                aside.due = time.monotonic() + _RETRY_ASIDE_SECONDS
            else:
                await self._try(session, topic, aside)

    async def _try(self, session: asyncpg.Connection, topic: str, aside: _Aside) -> None:
        """One wave of a topic set aside; there may be many, and other topics wait."""
        aside.due = time.monotonic() + aside.wait
        found = await session.fetch(QUERIES["take_aside"], self._shards, topic, BATCH_ROWS, BATCH_BYTES)
        if not found:
            self._count_aside(topic, -aside.events)
            del self._aside[topic]
            log.info("topic is back", topic=topic)
            return
        rows = [Row(*row) for row in found]
        outcome = await self._send(session, rows, QUERIES["delete_aside"], topic, seconds=_TRY_ASIDE_SECONDS)
        self._count_aside(topic, -len(outcome.sent))
        if outcome.failed:
            aside.wait = min(aside.wait * 2, _LONGEST_ASIDE_SECONDS)
            aside.due = time.monotonic() + aside.wait
        else:
            aside.wait, aside.due = _RETRY_ASIDE_SECONDS, time.monotonic()

    def _count_aside(self, topic: str, change: int) -> None:
        aside = self._aside[topic]
        aside.events += change
        PAUSED.labels(topic).set(aside.events)

    async def _own_shards(self) -> asyncpg.Connection:
        if self._session is None or self._session.is_closed():
            self._shards = []
            self._session = await self._database.connect()
            await self._session.execute(_PLANS)
            await self._session.execute(QUERIES["announce_relay"], self._locks, _ALIVE)
            self._last_share = 0.0
        now = time.monotonic()
        if now - self._last_share >= _SHARE_SECONDS:
            self._last_share = now
            await self._share(self._session)
        return self._session

    async def _share(self, session: asyncpg.Connection) -> None:
        """Takes free shards up to a fair part and gives back what is more, since nothing is in flight now.

        What a copy holds that does nothing any more stays with it until its session ends.
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
        waiting = {
            row["topic"]: row["n"] for row in await session.fetch(QUERIES["aside_topics"], self._shards)
        }
        for topic in waiting.keys() - self._aside.keys():
            self._aside[topic] = _Aside(time.monotonic())
        for topic, aside in self._aside.items():
            self._count_aside(topic, waiting.get(topic, 0) - aside.events)

    async def _release(self) -> None:
        session, self._session, self._shards, self._failed = self._session, None, [], set()
        for topic, aside in self._aside.items():
            # Whoever takes the shards over counts what waits in them.
            self._count_aside(topic, -aside.events)
        if session is not None:
            # Closing the session frees its locks at once.
            session.terminate()

    async def _idle(self) -> None:
        # `wait_for` of Python 3.11 would swallow a cancellation that comes together with a commit.
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await self._database.committed.wait()
        self._database.committed.clear()
