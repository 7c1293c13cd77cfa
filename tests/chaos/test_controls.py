"""Controls in a small world: a broken part of the core must be found, else the checker proves nothing."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from deploy.local.pair import Pair
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.kafka.records import RawRecord
from shared.outbox.relay import Relay
from shared.unit_of_work.transaction import Tx
from tests.chaos.sabotage import LocksLate, NoCursor, NoLock, OffsetsFirst, no_duplicates
from tests.chaos.world import deadlocks, world

pytestmark = [
    pytest.mark.chaos,
    # A crash leaves its connections as they are: that is what it is.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]


class CrashesAtWork(PartitionBatchProcessor):
    """Crashes once where it begins to apply: random crashes hit the narrow place before it too seldom."""

    crashed = False

    async def _apply(self, tx: Tx, records: Sequence[RawRecord], *, careful: bool) -> Any:
        if not type(self).crashed:
            type(self).crashed = True
            raise asyncio.CancelledError
        return await super()._apply(tx, records, careful=careful)


class OffsetsFirstAndCrashes(CrashesAtWork, OffsetsFirst):
    pass


async def test_the_core_as_it_is_passes_through_crashes(pair: Pair, database: str, namespace: str) -> None:
    before = await deadlocks(database)
    async with world(database, pair.access, namespace) as small:
        assert await small.run() == []
    assert await deadlocks(database) == before


async def test_offsets_committed_before_the_work_are_found(pair: Pair, database: str, namespace: str) -> None:
    async with world(database, pair.access, f"{namespace}c", slices=CrashesAtWork) as small:
        assert await small.run() == []
    assert CrashesAtWork.crashed
    async with world(database, pair.access, f"{namespace}a", slices=OffsetsFirstAndCrashes) as small:
        assert "I1" in {violation.invariant for violation in await small.run()}


async def test_a_missing_cursor_and_sequence_check_is_found(
    pair: Pair, database: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.inbox.partition_batch.is_duplicate", no_duplicates)
    async with world(database, pair.access, f"{namespace}b", slices=NoCursor) as small:
        assert "I2" in {violation.invariant for violation in await small.run()}


async def test_relays_without_their_lock_send_twice_with_no_crash_to_excuse_it(
    pair: Pair, database: str, namespace: str
) -> None:
    """Nothing worse: what is deleted after it was sent keeps its order, and readers drop what they have."""
    for relay, sends_twice in ((Relay, False), (NoLock, True)):
        name = f"{namespace}{relay.__name__.lower()}"
        async with world(database, pair.access, name, relay=relay, crashes=False) as small:
            assert await small.run() == []
            assert (small.history.resent > 0) == sends_twice


async def test_locks_taken_one_after_another_deadlock(pair: Pair, database: str, namespace: str) -> None:
    before = await deadlocks(database)
    async with world(database, pair.access, f"{namespace}d", slices=LocksLate, crashes=False) as small:
        await small.run()
    assert await deadlocks(database) > before
