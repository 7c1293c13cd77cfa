"""Controls: with a part of the core broken on purpose the checker must find it, else it proves nothing."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from deploy.local.pair import Pair
from shared.records import RawRecord
from shared.relay import SHARDS, Relay
from shared.rounds import Item
from shared.slices import Slices
from shared.transaction import QUERIES, Tx
from tests.chaos.world import deadlocks, world

pytestmark = [
    pytest.mark.chaos,
    # A crash leaves its connections as they are: that is what it is.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]


class OffsetsFirst(Slices):
    """Commits the place before the work, as `ACK_FIRST` does."""

    async def process(self, records: Sequence[RawRecord], *, accept_gap: bool = False) -> int:
        async with self._database.transaction() as tx:
            fresh = await self._after_cursor(tx, records, accept_gap=accept_gap)
            place = (self._consumer, records[0].topic, records[0].partition)
            await tx.connection.execute(QUERIES["advance_cursor"], *place, records[-1].offset + 1)
        if fresh:
            async with self._database.transaction() as tx:
                await self._apply(tx, fresh, careful=False)
        return records[-1].offset + 1


class NoCursor(Slices):
    """Believes whatever is delivered to be new."""

    async def _after_cursor(self, tx: Tx, records: Sequence[RawRecord], **_: Any) -> Sequence[RawRecord]:
        await super()._after_cursor(tx, records, accept_gap=True)
        return records


class NoLock(Relay):
    """Sends every shard, whoever else does."""

    async def _steal(self, _: asyncpg.Connection) -> None:
        self._shards = list(range(SHARDS))


class LocksLate(Slices):
    """Locks for one event after another, in the order in which they come."""

    async def _apply(self, tx: Tx, records: Sequence[RawRecord], *, careful: bool) -> Any:
        self._locks = tx.lock
        tx.lock = _nothing  # type: ignore[method-assign,assignment]
        return await super()._apply(tx, records, careful=careful)

    async def _round(self, tx: Tx, items: list[Item], *more: Any, careful: bool) -> None:
        for item in items:
            for aggregate in item.touches:
                await Tx.lock(tx, [aggregate])
        await super()._round(tx, items, *more, careful=careful)


async def _nothing(_: Any) -> None:
    return


async def test_the_core_as_it_is_passes_through_crashes(pair: Pair, database: str, namespace: str) -> None:
    before = await deadlocks(database)
    async with world(database, pair.bootstrap, namespace) as small:
        assert await small.run() == []
    assert await deadlocks(database) == before


async def test_offsets_committed_before_the_work_are_found(pair: Pair, database: str, namespace: str) -> None:
    async with world(database, pair.bootstrap, f"{namespace}a", slices=OffsetsFirst) as small:
        assert "I1" in {violation.invariant for violation in await small.run()}


async def test_a_missing_cursor_and_sequence_check_is_found(
    pair: Pair, database: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.slices.is_duplicate", lambda *_: False)
    async with world(database, pair.bootstrap, f"{namespace}b", slices=NoCursor) as small:
        assert "I2" in {violation.invariant for violation in await small.run()}


async def test_relays_without_their_lock_send_twice_with_no_crash_to_excuse_it(
    pair: Pair, database: str, namespace: str
) -> None:
    """Nothing worse: what is deleted after it was sent keeps its order, and readers drop what they have."""
    for relay, sends_twice in ((Relay, False), (NoLock, True)):
        name = f"{namespace}{relay.__name__.lower()}"
        async with world(database, pair.bootstrap, name, relay=relay, crashes=False) as small:
            assert await small.run() == []
            assert (small.history.resent > 0) == sends_twice


async def test_locks_taken_one_after_another_deadlock(pair: Pair, database: str, namespace: str) -> None:
    before = await deadlocks(database)
    async with world(database, pair.bootstrap, f"{namespace}d", slices=LocksLate, crashes=False) as small:
        await small.run()
    assert await deadlocks(database) > before
