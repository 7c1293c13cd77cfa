"""A reader that notices when the log below it may have been exchanged for another one."""

import time
from collections.abc import Sequence

from aiokafka.errors import KafkaError

from shared.kafka.aiokafka_internals import watch_fetches
from shared.kafka.client import Reader
from shared.kafka.records import Partition, RawRecord
from shared.kafka_access import KafkaAccess

# A process that was stopped for longer may have slept through a failed fetch.
_LONGEST_PAUSE_SECONDS = 5.0


class LogInDoubt(KafkaError):  # type: ignore[misc]
    """A fetch has failed, or the process has slept: what stands at the next offset may be another log."""


class WatchedReader(Reader):
    """Reads committed records alone, and nothing behind a failed fetch.

    A topic that is deleted and created again, or a broker that comes back with an older disk, shows as a
    failed fetch and then as one that succeeds. After LogInDoubt make a new reader, and compare what stands
    in the partitions with what was read (`shared.kafka.fingerprint`). `patience` is that of Reader.
    """

    def __init__(
        self, access: KafkaAccess, client_id: str, topics: Sequence[str], *, patience: float = 0.0
    ) -> None:
        super().__init__(access, client_id, topics, committed_only=True, patience=patience)
        self._doubted: set[Partition] = set()
        self._read_at: float | None = None
        watch_fetches(self._consumer, self._doubted.update)

    def partitions(self) -> set[Partition]:
        """The partitions that are read: all that the topics had at the start."""
        return {(one.topic, one.partition) for one in self._consumer.assignment()}

    async def read(self, limit: int, wait_ms: int) -> list[RawRecord]:
        """Like Reader.read. Raises LogInDoubt, and from then on always."""
        began, self._read_at = self._read_at, None
        if began is not None and time.monotonic() - began > _LONGEST_PAUSE_SECONDS:
            raise LogInDoubt("the process was stopped for some seconds")
        records = await super().read(limit, wait_ms)
        if self._doubted:
            places = ", ".join(f"{topic}/{number}" for topic, number in sorted(self._doubted))
            raise LogInDoubt(f"a fetch from {places} has failed")
        self._read_at = time.monotonic()
        return records
