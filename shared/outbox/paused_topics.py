"""Topics that refuse: their rows wait in `outbox_aside`, apart from all others, until a retry succeeds.

All calls with a session are made by the one relay that owns the shards, and in turn.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from shared import sql
from shared.logs import get_logger
from shared.metrics import PAUSED
from shared.outbox.rows import BATCH_BYTES, BATCH_ROWS, Row

QUERIES = sql.load("shared.outbox")
log = get_logger(__name__)

_RETRY_SECONDS = 2.0
_LONGEST_BACKOFF_SECONDS = 60.0


@dataclass(slots=True)
class _PausedTopic:
    """A topic that refuses: its next retry (monotonic time), the backoff in seconds, its waiting events."""

    retry_at: float
    backoff: float = _RETRY_SECONDS
    events: int = 0


class PausedTopics:
    """Which topics are paused, when each is retried, and how many events of the own shards wait for it."""

    def __init__(self) -> None:
        self._paused: dict[str, _PausedTopic] = {}

    def __contains__(self, topic: str) -> bool:
        return topic in self._paused

    @property
    def names(self) -> list[str]:
        """Sorted."""
        return sorted(self._paused)

    @property
    def events(self) -> dict[str, int]:
        """How many events wait, by topic."""
        return {topic: paused.events for topic, paused in self._paused.items()}

    def pause(self, topics: Iterable[str]) -> None:
        """Pauses topics that refuse; those that are paused already keep their backoff."""
        for topic in set(topics) - self._paused.keys():
            log.warning("topic paused", topic=topic)
            self._paused[topic] = _PausedTopic(time.monotonic() + _RETRY_SECONDS)

    def due(self) -> list[str]:
        """The topics that are to be retried now."""
        return [topic for topic, paused in self._paused.items() if paused.retry_at <= time.monotonic()]

    def postpone(self, topics: Iterable[str]) -> None:
        """Retries them no sooner than a pause from now."""
        for topic in topics:
            self._paused[topic].retry_at = time.monotonic() + _RETRY_SECONDS

    def retried(self, topic: str, *, failed: bool) -> None:
        """Sets the next retry: at once after a success, later and later after failures."""
        paused = self._paused[topic]
        if failed:
            paused.backoff = min(paused.backoff * 2, _LONGEST_BACKOFF_SECONDS)
            paused.retry_at = time.monotonic() + paused.backoff
        else:
            paused.backoff, paused.retry_at = _RETRY_SECONDS, time.monotonic()

    async def move(self, session: asyncpg.Connection, rows: Sequence[Row]) -> list[Row]:
        """Moves the rows of paused topics out of the outbox, behind earlier ones; returns the others.

        Only what a publish batch has come upon: it finds the rows of a key in order, so those that move are
        always its first ones, and no statement looks through the outbox for the others.
        """
        paused = [row for row in rows if row.topic in self._paused]
        if not paused:
            return list(rows)
        places = [row.shard for row in paused], [row.id for row in paused]
        for found in await session.fetch(QUERIES["pause_rows"], *places):
            self.count(found["topic"], found["n"])
        return [row for row in rows if row.topic not in self._paused]

    async def take(
        self, session: asyncpg.Connection, shards: Sequence[int], topics: Sequence[str]
    ) -> list[Row]:
        """The oldest rows of each topic, a fair part of a batch; a topic without rows is resumed."""
        rows: list[Row] = []
        for topic in topics:
            limits = BATCH_ROWS // len(topics) + 1, BATCH_BYTES // len(topics)
            found = await session.fetch(QUERIES["take_paused_batch"], shards, topic, *limits)
            rows += [Row(*row) for row in found]
            if not found:
                self.count(topic, -self._paused[topic].events)
                del self._paused[topic]
                log.info("topic resumed", topic=topic)
        return rows

    def count(self, topic: str, change: int) -> None:
        """Adds to the number of events that wait for a topic, if it is paused."""
        if paused := self._paused.get(topic):
            paused.events += change
            PAUSED.labels(topic).set(paused.events)

    async def own(self, session: asyncpg.Connection, shards: Sequence[int]) -> None:
        """Takes over what waits in the shards that the relay owns from now on."""
        found = await session.fetch(QUERIES["count_paused_rows"], shards)
        waiting: Mapping[str, int] = {row["topic"]: row["n"] for row in found}
        for topic in waiting.keys() - self._paused.keys():
            self._paused[topic] = _PausedTopic(time.monotonic())
        for topic, paused in self._paused.items():
            self.count(topic, waiting.get(topic, 0) - paused.events)

    def disown(self) -> None:
        """Forgets the numbers: the next owner of the shards counts what waits in them."""
        for topic, paused in self._paused.items():
            self.count(topic, -paused.events)
