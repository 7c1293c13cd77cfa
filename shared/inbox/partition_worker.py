"""Applies the records of one partition in a task of its own, so that no partition waits for another's.

A bounded queue stands between the client, which polls all partitions together, and the tasks. A partition
whose queue is full is not polled until there is room: a flood fills its own queue and nobody else's.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from aiokafka.errors import KafkaError

from shared.errors import Stale
from shared.inbox.floods import PartitionPaused
from shared.infrastructure import is_passing
from shared.kafka.records import Partition, RawRecord
from shared.logs import get_logger
from shared.metrics import BATCH_WAITS

log = get_logger(__name__)

MAX_RECORDS = 2000
"""Records of one transaction, and of one poll; a queue that holds as many takes no more."""
_MAX_BYTES = 8 * 1024 * 1024
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.1, 5.0
# How long a revoked partition's transaction may take to end. Then it is rolled back: the group would go on
# without us after its rebalance timeout, and all our partitions wait meanwhile.
_CLOSE_SECONDS = 10.0

_tickets = count(1)


@dataclass(slots=True)
class FetchedRun:
    """All that can be read of a partition from offset `start` up to `next_offset`, which may be nothing.

    Offsets without a record are transaction markers, aborted records, or what compaction took. `ticket` is
    that of the worker at the poll: a run that was fetched before a seek has an older one.
    """

    partition: Partition
    ticket: int
    start: int
    next_offset: int
    records: list[RawRecord] = field(default_factory=list)

    @property
    def topic(self) -> str:
        return self.partition[0]


class Batches(Protocol):
    """What a worker needs of `PartitionBatchProcessor`; see there."""

    async def process(self, records: list[RawRecord], *, start: int, next_offset: int) -> int: ...
    async def pass_offsets(self, topic: str, partition: int, *, start: int, next_offset: int) -> int: ...


class PartitionWorker:
    """Checks which log the partition is, then applies the runs that are put, until it is closed.

    Parameters
    ----------
    consumer
        Name of the consumer, for logs and metrics.
    where_to_read
        Compares the log with the cursor and returns the offset to read on from. Called first, and again
        after each `doubt`.
    seek
        Moves the client to an offset of the partition. It is called without an await between it and the
        change of `position`.
    hold
        Called when too many records of the partition are bad: it is not to be polled for some time.
    """

    def __init__(
        self,
        consumer: str,
        partition: Partition,
        batches: Batches,
        *,
        where_to_read: Callable[[Partition], Awaitable[int]],
        seek: Callable[[Partition, int], None],
        hold: Callable[[Partition], None],
    ) -> None:
        self.partition = partition
        self.position = 0
        """Offset that the client fetches next."""
        self.next_offset: int | None = None
        """The cursor as this worker knows it; None until it was compared with the log."""
        self.at_rest = asyncio.Event()
        """Set while nothing is queued or applied."""
        self._consumer = consumer
        self._batches = batches
        self._where_to_read = where_to_read
        self._seek = seek
        self._hold = hold
        self._ticket = next(_tickets)
        self._doubts, self._settled = 1, 0
        self._runs: deque[tuple[FetchedRun, int]] = deque()
        self._records = self._bytes = 0
        self._is_applying = False
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._wake.set()
        self._task = asyncio.create_task(self._work(), name=f"{partition[0]}-{partition[1]}")

    @property
    def has_room(self) -> bool:
        """Whether the partition may be polled: its log is known, and its queue is not full."""
        return not self._is_doubtful and self._records < MAX_RECORDS and self._bytes < _MAX_BYTES

    @property
    def _is_doubtful(self) -> bool:
        return self._settled != self._doubts

    @property
    def _is_running(self) -> bool:
        return not self._closing.is_set()

    def fetched(self, records: list[RawRecord], position: int) -> FetchedRun | None:
        """What a poll has returned, with the client's position after it; None if that is nothing at all."""
        if position == self.position and not records:
            return None
        run = FetchedRun(self.partition, self._ticket, self.position, position, records)
        self.position = position
        return run

    def put(self, run: FetchedRun) -> None:
        """Queues a run. One that was fetched before a seek is dropped."""
        if run.ticket != self._ticket or self._closing.is_set():
            return
        size = sum(map(_size, run.records))
        self._runs.append((run, size))
        self._records += len(run.records)
        self._bytes += size
        self.at_rest.clear()
        self._wake.set()

    def doubt(self) -> None:
        """Has the log compared with the cursor before anything more is polled; what is queued is dropped."""
        self._doubts += 1
        self._wake.set()

    async def close(self) -> None:
        """Ends the worker: with its running transaction, or rolls that back after ten seconds."""
        self._closing.set()
        self._wake.set()
        if self._is_applying:
            _, pending = await asyncio.wait([self._task], timeout=_CLOSE_SECONDS)
            if pending:
                log.warning("partition batch is cancelled", consumer=self._consumer, topic=self.partition[0])
        self._task.cancel()
        await asyncio.wait([self._task])
        self.at_rest.set()

    async def _work(self) -> None:
        while self._is_running:
            await self._wake.wait()
            self._wake.clear()
            while self._is_running and (self._is_doubtful or self._runs):
                if self._is_doubtful:
                    await self._settle()
                else:
                    self._is_applying = True
                    await self._apply(self._take())
                    self._is_applying = False
            self.at_rest.set()

    async def _settle(self) -> None:
        wait = _FIRST_WAIT_SECONDS
        while self._is_running:
            doubts = self._doubts
            try:
                offset = await self._where_to_read(self.partition)
            except Exception as error:
                self._waits_out(error, "cursor and log are not compared yet", Stale)
                wait = await self._pause(wait)
                continue
            if doubts == self._doubts:
                self._read_from(offset)
                self._settled = doubts
                return

    def _read_from(self, offset: int) -> None:
        self._runs.clear()
        self._records = self._bytes = 0
        self._ticket = next(_tickets)
        self.position = self.next_offset = offset
        self._seek(self.partition, offset)

    def _take(self) -> FetchedRun:
        """The queued runs as one, up to `MAX_RECORDS`; they follow each other without a gap."""
        taken = self._pop()
        while self._runs and len(taken.records) + len(self._runs[0][0].records) <= MAX_RECORDS:
            run = self._pop()
            taken.records.extend(run.records)
            taken.next_offset = run.next_offset
        return taken

    def _pop(self) -> FetchedRun:
        run, size = self._runs.popleft()
        self._records -= len(run.records)
        self._bytes -= size
        return run

    async def _apply(self, run: FetchedRun) -> None:
        """Applies one run, waiting out faults, unless the partition is revoked or doubtful meanwhile."""
        wait = _FIRST_WAIT_SECONDS
        while self._is_running and not self._is_doubtful:
            try:
                next_offset = await self._store(run)
            except Stale:
                # Another replica has moved the cursor, back or forth: read on where it is now.
                self.doubt()
            except PartitionPaused:
                # What is queued is dropped: it is read again from the cursor once the pause is over.
                self._hold(self.partition)
                self.doubt()
            except Exception as error:
                BATCH_WAITS.labels(self._consumer).inc()
                self._waits_out(error, "partition batch waits")
                wait = await self._pause(wait)
            else:
                self.next_offset = next_offset
                if next_offset != run.next_offset:
                    self.doubt()
                return

    async def _store(self, run: FetchedRun) -> int:
        if run.records:
            return await self._batches.process(run.records, start=run.start, next_offset=run.next_offset)
        topic, number = self.partition
        return await self._batches.pass_offsets(topic, number, start=run.start, next_offset=run.next_offset)

    def _waits_out(self, error: Exception, what: str, *more: type[Exception]) -> None:
        if not is_passing(error, KafkaError, *more):
            # Not the fault of one event, which bisecting would have found: a bug. The partition waits.
            log.exception("partition fails", consumer=self._consumer, topic=self.partition[0])
        log.warning(what, consumer=self._consumer, topic=self.partition[0], error=repr(error))

    async def _pause(self, seconds: float) -> float:
        """Waits, but not for a partition that is being revoked; the length of the next wait."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            pass
        return min(seconds * 2, _LONGEST_WAIT_SECONDS)


def _size(record: RawRecord) -> int:
    return len(record.value or b"") + sum(len(value) for _, value in record.headers)
