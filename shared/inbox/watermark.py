"""How old a service's oldest unread event is, over all its copies: judgements hang on it.

A copy alone cannot tell: what its paused sibling has not read may hold the act that was in time. So each
copy asks the broker for the ends of everything that the service reads, and later whether the cursors, which
all copies share, have passed them: then nothing appended before that moment is unread.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from shared import sql
from shared.inbox.consumer import Consumer, Partition
from shared.infrastructure import is_passing
from shared.kafka.client import KafkaError
from shared.logs import get_logger
from shared.metrics import UNREAD_AGE
from shared.unit_of_work.database import Database

QUERIES = sql.load("shared.inbox")
log = get_logger(__name__)

_EVERY_SECONDS = 1.0
# Older ends are forgotten: whoever is further behind than this judges nothing anyway.
_MOST_SAMPLES = 300


class Watermark:
    """Keeps looking at what `consumers` have to read and what was applied of it."""

    def __init__(self, database: Database, consumers: Sequence[Consumer]) -> None:
        self._database = database
        self._consumers = consumers
        self._samples: deque[tuple[float, list[dict[Partition, int]]]] = deque(maxlen=_MOST_SAMPLES)
        self._read_until = float("-inf")

    def lag(self) -> float:
        """Seconds: every event appended longer ago is applied. Infinite while nothing is known.

        It grows while no broker or database answers, since what came in meanwhile cannot be seen.
        """
        return time.monotonic() - self._read_until

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:
                if not is_passing(error, KafkaError):
                    raise
                log.debug("what is unread is not known", error=repr(error))
            UNREAD_AGE.set(self.lag())
            await asyncio.sleep(_EVERY_SECONDS)

    async def look(self) -> None:
        """Takes one sample, and compares those taken so far with the cursors as they stand after it."""
        now = time.monotonic()
        self._samples.append((now, [await consumer.ends() for consumer in self._consumers]))
        cursors = [await self._cursors(consumer) for consumer in self._consumers]
        while self._samples:
            moment, ends = self._samples[0]
            if not all(map(_has_passed, cursors, ends)):
                return
            self._read_until = moment
            self._samples.popleft()

    async def _cursors(self, consumer: Consumer) -> dict[Partition, int]:
        rows = await self._database.pool.fetch(QUERIES["read_cursors"], consumer.name)
        return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


def _has_passed(cursors: dict[Partition, int], ends: dict[Partition, int]) -> bool:
    return all(cursors.get(place, 0) >= end for place, end in ends.items())
