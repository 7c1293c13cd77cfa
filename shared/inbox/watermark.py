"""Low watermark of a service across its replicas. Deadline checks must not fire past it.

One replica cannot know it alone: a paused sibling may not have read an act that was in time. So each replica
asks the broker for the end offsets of all that the service reads, and later whether the cursors, which all
replicas share, have passed them: then every event appended before that moment is applied.

A record whose writer has not ended its Kafka transaction does not count: it is not said yet, and a unit that
leaves one open would hold up every deadline. If it turns out to have been in time, the breach is withdrawn.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from shared.inbox.consumer import Consumer
from shared.inbox.cursors import read_cursors
from shared.infrastructure import is_passing
from shared.kafka.client import KafkaError
from shared.kafka.records import Partition
from shared.logs import get_logger
from shared.metrics import UNREAD_AGE
from shared.unit_of_work.database import Database

log = get_logger(__name__)

_EVERY_SECONDS = 1.0
# Older samples are dropped: a service further behind than this fires no deadline checks anyway.
_MAX_SAMPLES = 300


class Watermark:
    """Samples the end offsets of `consumers` and compares them with the cursors."""

    def __init__(self, database: Database, consumers: Sequence[Consumer]) -> None:
        self._database = database
        self._consumers = consumers
        self._samples: deque[tuple[float, list[dict[Partition, int]]]] = deque(maxlen=_MAX_SAMPLES)
        self._read_until = float("-inf")

    def lag(self) -> float:
        """Age of the watermark in seconds: every event appended longer ago is applied.

        Infinite before the first successful comparison. It grows while broker or database do not answer,
        since new events cannot be seen then.
        """
        return time.monotonic() - self._read_until

    async def run(self) -> None:
        """Samples once a second until cancelled; faults of broker and database are waited out."""
        while True:
            try:
                await self.sample()
            except Exception as error:
                if not is_passing(error, KafkaError):
                    raise
                log.debug("watermark is unknown", error=repr(error))
            UNREAD_AGE.set(self.lag())
            await asyncio.sleep(_EVERY_SECONDS)

    async def sample(self) -> None:
        """Takes one sample, then compares all samples with the cursors as they are now."""
        now = time.monotonic()
        self._samples.append((now, [await consumer.ends() for consumer in self._consumers]))
        cursors = [await read_cursors(self._database, consumer.name) for consumer in self._consumers]
        while self._samples:
            moment, ends = self._samples[0]
            if not all(map(_have_passed, cursors, ends)):
                return
            self._read_until = moment
            self._samples.popleft()


def _have_passed(cursors: dict[Partition, int], ends: dict[Partition, int]) -> bool:
    return all(cursors.get(partition, 0) >= end for partition, end in ends.items())
