"""One partition's task: first which log it is, then run after run, whatever happens."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from shared.errors import Stale
from shared.inbox import partition_worker
from shared.inbox.floods import PartitionPaused
from shared.inbox.partition_batch import OffsetGap
from shared.inbox.partition_worker import MAX_RECORDS, PartitionWorker
from shared.kafka.records import Partition, RawRecord
from tests.waiting import until

PARTITION = ("civic.inquiry.v1", 0)


class Log:
    """A partition's table and client: what is applied, sought and asked."""

    def __init__(self) -> None:
        self.cursors = [10]
        """Where to read on, at the first check, the second ...; the last one stays."""
        self.faults: list[Exception] = []
        self.runs: list[tuple[int, int, int]] = []
        self.sought: list[int] = []
        self.checks = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.cursor_after: int | None = None
        self.held: set[Partition] = set()

    async def where_to_read(self, _: Partition) -> int:
        self.checks += 1
        if self.faults:
            raise self.faults.pop(0)
        return self.cursors.pop(0) if len(self.cursors) > 1 else self.cursors[0]

    def seek(self, _: Partition, offset: int) -> None:
        self.sought.append(offset)

    async def process(self, records: list[RawRecord], *, start: int, next_offset: int) -> int:
        await self.go_on.wait()
        if self.faults:
            raise self.faults.pop(0)
        self.runs.append((start, next_offset, len(records)))
        return self.cursor_after or next_offset

    async def pass_offsets(self, topic: str, partition: int, *, start: int, next_offset: int) -> int:
        assert (topic, partition) == PARTITION
        return await self.process([], start=start, next_offset=next_offset)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def worker(log: Log, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PartitionWorker]:
    monkeypatch.setattr(partition_worker, "_FIRST_WAIT_SECONDS", 0.001)
    made = PartitionWorker(
        "c", PARTITION, log, where_to_read=log.where_to_read, seek=log.seek, hold=log.held.add
    )
    yield made
    log.go_on.set()
    await made.close()


def records(start: int, count: int, value: bytes = b"{}") -> list[RawRecord]:
    return [RawRecord(*PARTITION, start + n, 0, b"k", value) for n in range(count)]


def fetch(worker: PartitionWorker, count: int, position: int | None = None, value: bytes = b"{}") -> None:
    """As a poll that has returned `count` records and left the client at `position`."""
    start = worker.position
    run = worker.fetched(records(start, count, value), position or start + count)
    if run is not None:
        worker.put(run)


def ready(worker: PartitionWorker) -> Callable[[], bool]:
    return lambda: worker.has_room


async def test_nothing_is_polled_before_the_log_is_known(log: Log) -> None:
    worker = PartitionWorker(
        "c", PARTITION, log, where_to_read=log.where_to_read, seek=log.seek, hold=log.held.add
    )
    assert not worker.has_room
    assert worker.next_offset is None
    await until(ready(worker))
    assert log.sought == [10]
    assert (worker.position, worker.next_offset) == (10, 10)
    await worker.close()


@pytest.mark.parametrize(
    "error", [KafkaConnectionError(), OSError("away"), Stale("moved"), ValueError("ours")]
)
async def test_a_check_that_fails_is_repeated(worker: PartitionWorker, log: Log, error: Exception) -> None:
    await until(ready(worker))
    log.faults = [error, error]
    worker.doubt()
    await until(ready(worker))
    assert log.checks == 4


async def test_runs_are_applied_with_the_offsets_that_hold_no_record(
    worker: PartitionWorker, log: Log
) -> None:
    await until(ready(worker))
    fetch(worker, 3, position=15)
    await until(lambda: worker.next_offset == 15)
    fetch(worker, 0, position=16)
    await until(lambda: worker.next_offset == 16)
    fetch(worker, 0, position=16)
    assert log.runs == [(10, 15, 3), (15, 16, 0)]


async def test_what_gathers_behind_a_slow_batch_is_one_batch(worker: PartitionWorker, log: Log) -> None:
    await until(ready(worker))
    log.go_on.clear()
    fetch(worker, 1)
    await asyncio.sleep(0.01)
    for _ in range(3):
        fetch(worker, 5)
    fetch(worker, 0, position=27)
    log.go_on.set()
    await until(lambda: worker.next_offset == 27)
    assert log.runs == [(10, 11, 1), (11, 27, 15)]


async def test_a_worker_is_at_rest_once_nothing_is_queued_or_applied(
    worker: PartitionWorker, log: Log
) -> None:
    await until(ready(worker))
    log.go_on.clear()
    fetch(worker, 1)
    await asyncio.sleep(0.01)
    fetch(worker, 1)
    assert not worker.at_rest.is_set()
    log.go_on.set()
    await worker.at_rest.wait()
    assert worker.next_offset == 12


async def test_a_full_queue_is_not_polled(worker: PartitionWorker, log: Log) -> None:
    await until(ready(worker))
    log.go_on.clear()
    fetch(worker, 1)
    await asyncio.sleep(0.01)
    fetch(worker, MAX_RECORDS - 1)
    assert worker.has_room
    fetch(worker, 1)
    assert not worker.has_room
    log.go_on.set()
    await until(ready(worker))


async def test_a_queue_is_full_by_bytes_too(worker: PartitionWorker, log: Log) -> None:
    await until(ready(worker))
    log.go_on.clear()
    fetch(worker, 1)
    await asyncio.sleep(0.01)
    fetch(worker, 9, value=bytes(1024 * 1024))
    assert not worker.has_room
    log.go_on.set()
    await until(ready(worker))


@pytest.mark.parametrize("error", [OSError("away"), KafkaConnectionError(), ValueError("ours")])
async def test_every_fault_of_a_batch_is_waited_out(
    worker: PartitionWorker, log: Log, error: Exception
) -> None:
    await until(ready(worker))
    log.faults = [error, error]
    fetch(worker, 2)
    await until(lambda: worker.next_offset == 12)
    assert log.runs == [(10, 12, 2)]


async def test_a_gap_is_read_again_from_the_cursor(worker: PartitionWorker, log: Log) -> None:
    """Another replica has set the cursor back."""
    await until(ready(worker))
    log.cursors = [4]
    log.faults = [OffsetGap(4)]
    fetch(worker, 2)
    fetch(worker, 2)
    await until(lambda: worker.position == 4 and worker.has_room)
    assert log.runs == []
    fetch(worker, 3)
    await until(lambda: worker.next_offset == 7)
    assert log.runs == [(4, 7, 3)]


async def test_a_cursor_that_another_replica_has_moved_on_is_sought(
    worker: PartitionWorker, log: Log
) -> None:
    await until(ready(worker))
    log.cursor_after, log.cursors = 50, [50]
    fetch(worker, 2)
    await until(lambda: worker.position == 50)
    assert log.sought == [10, 50]


async def test_a_doubt_drops_what_is_queued_and_what_was_fetched_before(
    worker: PartitionWorker, log: Log
) -> None:
    await until(ready(worker))
    stale = worker.fetched(records(10, 2), 12)
    log.cursors = [0]
    worker.doubt()
    assert not worker.has_room
    await until(lambda: worker.position == 0)
    assert stale is not None
    worker.put(stale)
    fetch(worker, 1)
    await until(lambda: worker.next_offset == 1)
    assert log.runs == [(0, 1, 1)]


async def test_a_doubt_during_a_check_has_it_repeated(worker: PartitionWorker, log: Log) -> None:
    await until(ready(worker))
    checked: list[int] = []

    async def slow(_: Partition) -> int:
        checked.append(1)
        if len(checked) == 1:
            worker.doubt()
            return 3
        return 7

    worker._where_to_read = slow
    worker.doubt()
    await until(ready(worker))
    assert worker.position == 7
    assert log.sought == [10, 7]


async def test_closing_waits_for_the_running_batch_and_begins_no_other(
    worker: PartitionWorker, log: Log
) -> None:
    await until(ready(worker))
    log.go_on.clear()
    fetch(worker, 1)
    await asyncio.sleep(0.01)
    fetch(worker, 1)
    closing = asyncio.create_task(worker.close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    log.go_on.set()
    await closing
    assert log.runs == [(10, 11, 1)]


async def test_closing_does_not_wait_out_a_fault_of_the_database(worker: PartitionWorker, log: Log) -> None:
    await until(ready(worker))
    log.faults = [OSError("away")] * 1000
    fetch(worker, 1)
    await until(lambda: len(log.faults) < 990)
    await asyncio.wait_for(worker.close(), 1)
    assert log.runs == []


async def test_a_batch_that_hangs_is_cancelled_before_the_group_goes_on_without_us(
    worker: PartitionWorker, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_worker, "_CLOSE_SECONDS", 0.05)
    await until(ready(worker))
    log.go_on.clear()
    fetch(worker, 1)
    await asyncio.sleep(0.01)
    await asyncio.wait_for(worker.close(), 1)
    assert log.runs == []


async def test_a_check_that_hangs_does_not_hold_up_a_revocation(worker: PartitionWorker) -> None:
    await until(ready(worker))

    async def hangs(_: Partition) -> int:
        await asyncio.Event().wait()
        return 0

    worker._where_to_read = hangs
    worker.doubt()
    await asyncio.sleep(0.01)
    await asyncio.wait_for(worker.close(), 1)
    unread: Any = worker.fetched(records(10, 1), 11)
    worker.put(unread)
    assert not worker._runs


async def test_a_flooded_partition_is_held_and_read_again_from_its_cursor(
    log: Log, worker: PartitionWorker
) -> None:
    await until(ready(worker))
    log.faults = [PartitionPaused(11)]
    fetch(worker, 3)
    await until(lambda: log.held == {PARTITION})
    await until(ready(worker))
    assert log.sought == [10, 10]
    assert log.runs == []
