"""A unit of work on a real database: its time, and the roll-back to a savepoint."""

import asyncio
import datetime as dt

import asyncpg
import orjson
import pytest

from harness.fixed_clock import FixedClock
from shared.clock import machine_now
from shared.contracts.routing import CaseTriaged
from shared.metrics import EMITTED
from shared.unit_of_work.database import Database
from tests.integration.shared.conftest import NOW

LONG = dt.timedelta(days=400)


async def test_a_command_that_waited_for_its_row_has_the_time_after_the_wait(routing: Database) -> None:
    """Otherwise a higher sequence would carry an earlier time."""
    clock = routing.clock = FixedClock(NOW)

    async def triage() -> None:
        async with routing.transaction(["case"]) as tx:
            tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject="case")

    async with routing.transaction(["case"]) as first:
        second = asyncio.create_task(triage())
        async with asyncio.timeout(10):
            while not await routing.pool.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                assert not second.done()
        clock.moment = NOW + LONG
        first.emit(CaseTriaged(reason="no_rule", attempt=1), subject="case")
    await second
    values = await routing.pool.fetch("SELECT value FROM outbox ORDER BY id")
    times = [dt.datetime.fromisoformat(orjson.loads(row["value"])["time"]) for row in values]
    assert times == [NOW, NOW + LONG]


async def test_an_action_is_remembered_by_the_clock_of_the_machine(routing: Database) -> None:
    """Kafka's retention does not follow business time, and what it keeps may be delivered again."""
    routing.clock = FixedClock(NOW - LONG)
    before = machine_now()
    async with routing.transaction() as tx:
        tx.mark_action_processed("/unit", "a-1")
    assert await routing.pool.fetchval("SELECT seen_at FROM seen_event") >= before


async def test_an_aggregate_created_in_a_savepoint_is_rolled_back_with_it(routing: Database) -> None:
    async with routing.transaction() as tx:
        snapshot = tx.snapshot()
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with tx.connection.transaction():
                tx.create(["gone"])
                await tx.connection.execute("SELECT 1 / 0")
        tx.restore(snapshot)
    assert await routing.pool.fetchval("SELECT count(*) FROM aggregate") == 0


async def test_what_a_rollback_at_the_commit_takes_back_is_not_counted(routing: Database) -> None:
    counted = EMITTED.labels(CaseTriaged.contract.type)._value
    before = counted.get()
    await routing.pool.execute(
        "CREATE TABLE once (n int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO once VALUES (1)"
    )
    with pytest.raises(asyncpg.UniqueViolationError):
        async with routing.transaction(["case"]) as tx:
            tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject="case")
            await tx.connection.execute("INSERT INTO once VALUES (1)")
    await routing.pool.execute("DROP TABLE once")
    assert (counted.get() - before, await routing.pool.fetchval("SELECT count(*) FROM outbox")) == (0, 0)
    async with routing.transaction(["case"]) as tx:
        tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject="case")
    assert counted.get() - before == 1
