"""Timers on a real database: order of due moments, the grace of deadline checks, faults of a single timer."""

import asyncio
import datetime as dt
from typing import Any

import orjson
import pytest

from harness.fixed_clock import FixedClock
from shared.contracts.routing import CaseTriaged
from shared.decision import TimerSpec
from shared.unit_of_work.database import Database
from shared.unit_of_work.timers import FiredTimer, Timers, adopt_timers
from shared.unit_of_work.transaction import Tx
from tests.integration.shared.conftest import NOW

MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def clock(routing: Database) -> FixedClock:
    routing.clock = FixedClock(NOW)
    return routing.clock


class Recorder:
    """Timers that record which kinds fired and when they were due."""

    def __init__(self, database: Database, *kinds: str, watermark_lag: float = 0.0) -> None:
        self.fired: list[tuple[str, str]] = []
        self.lag = watermark_lag
        self.timers = Timers(database, watermark_lag=lambda: self.lag)
        for kind in kinds:
            self.timers.on(kind)(self._fire)

    async def _fire(self, tx: Tx, fired: list[FiredTimer]) -> None:
        self.fired += [(one.aggregate, one.kind) for one in fired]
        for one in fired:
            tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=one.aggregate)

    async def drain(self) -> None:
        while await self.timers.once():
            pass


def timer(aggregate: str, *spec: Any, **more: Any) -> tuple[str, TimerSpec]:
    return aggregate, TimerSpec(*spec, **more)


async def schedule(database: Database, *timers: tuple[str, TimerSpec]) -> None:
    async with database.transaction({aggregate for aggregate, _ in timers}) as tx:
        for aggregate, spec in timers:
            tx.schedule(aggregate, spec)


async def test_a_timer_fires_once_when_it_is_due_and_emits_in_the_same_transaction(
    routing: Database, clock: FixedClock
) -> None:
    recorder = Recorder(routing, "mark")
    await schedule(routing, timer("case", "mark", NOW + MINUTE))
    await recorder.drain()
    assert recorder.fired == []
    clock.moment = NOW + MINUTE
    await recorder.drain()
    await recorder.drain()
    assert recorder.fired == [("case", "mark")]
    assert await routing.pool.fetchval("SELECT count(*) FROM outbox") == 1
    assert await routing.pool.fetchval("SELECT count(*) FROM timer") == 0


async def test_many_replicas_fire_a_timer_once(routing: Database, clock: FixedClock) -> None:
    recorder = Recorder(routing, "mark")
    await schedule(routing, *(timer(f"case-{n}", "mark", NOW) for n in range(200)))
    await asyncio.gather(*(recorder.timers.once() for _ in range(4)))
    await recorder.drain()
    assert len(recorder.fired) == len(set(recorder.fired)) == 200


async def test_after_a_jump_of_the_clock_the_timers_of_a_case_fire_in_the_order_of_their_moments(
    routing: Database, clock: FixedClock
) -> None:
    recorder = Recorder(routing, "breach", "mark", "zeal")
    await schedule(
        routing,
        timer("case", "zeal", NOW + MINUTE),
        timer("case", "mark", NOW + 2 * MINUTE),
        timer("case", "breach", NOW + 3 * MINUTE),
        timer("other", "breach", NOW + 4 * MINUTE),
    )
    clock.moment = NOW + dt.timedelta(days=1)
    await recorder.drain()
    assert [kind for case, kind in recorder.fired if case == "case"] == ["zeal", "mark", "breach"]
    assert ("other", "breach") in recorder.fired


async def test_a_timer_that_fires_first_can_cancel_the_next(routing: Database, clock: FixedClock) -> None:
    recorder = Recorder(routing, "late")

    @recorder.timers.on("close")
    async def close(tx: Tx, fired: list[FiredTimer]) -> None:
        for one in fired:
            tx.cancel(one.aggregate, "late")

    await schedule(routing, timer("case", "close", NOW), timer("case", "late", NOW + MINUTE))
    clock.moment = NOW + 2 * MINUTE
    await recorder.drain()
    assert recorder.fired == []


async def test_a_fired_timer_may_schedule_the_same_kind_again(routing: Database, clock: FixedClock) -> None:
    timers = Timers(routing, watermark_lag=lambda: 0.0)
    marks: list[int] = []

    @timers.on("mark")
    async def mark(tx: Tx, fired: list[FiredTimer]) -> None:
        for one in fired:
            marks.append(one.data["percent"])
            if one.data["percent"] < 100:
                data = {"percent": one.data["percent"] + 50}
                tx.schedule(one.aggregate, TimerSpec("mark", one.due + MINUTE, data))

    await schedule(routing, timer("case", "mark", NOW, {"percent": 50}))
    assert await timers.once() == 1
    assert await timers.once() == 0
    clock.moment = NOW + MINUTE
    assert await timers.once() == 1
    assert marks == [50, 100]
    assert await routing.pool.fetchval("SELECT count(*) FROM timer") == 0


async def test_a_deadline_check_waits_for_its_grace_and_for_the_watermark(
    routing: Database, clock: FixedClock
) -> None:
    grace = dt.timedelta(seconds=routing.settings.grace_seconds)
    recorder = Recorder(routing, "breach", "mark")
    await schedule(
        routing, timer("judged", "breach", NOW, is_deadline_check=True), timer("warned", "mark", NOW)
    )
    await recorder.drain()
    assert recorder.fired == [("warned", "mark")]
    clock.moment = NOW + grace
    recorder.lag = routing.settings.grace_seconds + 1
    await recorder.drain()
    assert recorder.fired == [("warned", "mark")]
    recorder.lag = 0.0
    await recorder.drain()
    assert recorder.fired == [("warned", "mark"), ("judged", "breach")]


@pytest.mark.parametrize("dead", [False, True])
async def test_a_deadline_check_waits_for_parked_events_and_dead_letters(
    routing: Database, clock: FixedClock, dead: bool
) -> None:
    """The act that was in time may be parked: the cursor has passed it, but it is not applied."""
    recorder = Recorder(routing, "breach", "mark")
    for case in ("parked", "free"):
        await schedule(routing, timer(case, "breach", NOW, is_deadline_check=True), timer(case, "mark", NOW))
    clock.moment = NOW + dt.timedelta(seconds=routing.settings.grace_seconds)
    await routing.pool.execute(
        "INSERT INTO parked_key (consumer, topic, key, error, next_attempt, dead)"
        " VALUES ('toy', 't', 'parked', 'busy', 'infinity', $1)",
        dead,
    )
    await recorder.drain()
    assert sorted(recorder.fired) == [("free", "breach"), ("free", "mark"), ("parked", "mark")]
    await routing.pool.execute("DELETE FROM parked_key")
    await recorder.drain()
    assert recorder.fired[-1] == ("parked", "breach")


PARK = (
    "INSERT INTO parked_key (consumer, topic, key, error, next_attempt)"
    " VALUES ('toy', 't', 'case', 'busy', 'infinity')"
)


async def test_an_aggregate_that_another_transaction_holds_delays_no_other_timer(
    routing: Database, clock: FixedClock
) -> None:
    """What that transaction parks is seen afterwards."""
    recorder = Recorder(routing, "breach")
    await schedule(
        routing, *(timer(case, "breach", NOW, is_deadline_check=True) for case in ("case", "other"))
    )
    clock.moment = NOW + dt.timedelta(seconds=routing.settings.grace_seconds)
    async with routing.transaction(["case"]) as parking:
        async with asyncio.timeout(5):
            assert await recorder.timers.once() == 1
        await parking.connection.execute(PARK)
    await recorder.drain()
    assert recorder.fired == [("other", "breach")]


async def test_an_event_parked_while_the_aggregate_was_being_locked_stops_the_deadline_check(
    routing: Database, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(routing, "breach")
    await schedule(routing, timer("case", "breach", NOW, is_deadline_check=True))
    clock.moment = NOW + dt.timedelta(seconds=routing.settings.grace_seconds)
    lock = Tx.lock

    async def lock_late(tx: Tx, aggregates: Any) -> None:
        await routing.pool.execute(PARK)
        await lock(tx, aggregates)

    monkeypatch.setattr(Tx, "lock", lock_late)
    await recorder.timers.once()
    assert recorder.fired == []


async def test_replicas_share_what_is_due(routing: Database, clock: FixedClock) -> None:
    await schedule(routing, *(timer(f"case-{n:04}", "mark", NOW) for n in range(1000)))
    fired: list[str] = []

    def replica() -> Timers:
        timers = Timers(routing, watermark_lag=lambda: 0.0)

        @timers.on("mark")
        async def slow(_: Tx, marks: list[FiredTimer]) -> None:
            fired.extend(one.aggregate for one in marks)
            await asyncio.sleep(0.2)

        return timers

    shares = await asyncio.gather(replica().once(), replica().once())
    assert min(shares) > 0, f"one replica waited for the other: {shares}"
    assert len(fired) == len(set(fired)) == sum(shares)


async def test_a_timer_scheduled_again_after_a_fault_keeps_its_new_moment(
    routing: Database, clock: FixedClock
) -> None:
    """The fault frees the aggregate, and a command that waits for it may get it before the timer moves."""
    later = NOW + dt.timedelta(days=5)
    timers = Timers(routing, watermark_lag=lambda: 0.0)
    calls = 0
    commands: list[asyncio.Task[None]] = []

    @timers.on("breach")
    async def breach(_: Tx, __: list[FiredTimer]) -> None:
        nonlocal calls
        calls += 1
        if calls % 2 == 0:  # the first is the attempt together with others
            commands.append(asyncio.create_task(schedule(routing, timer("case", "breach", later))))
            async with asyncio.timeout(10):
                while not await routing.pool.fetchval(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                ):
                    await asyncio.sleep(0)
        raise ZeroDivisionError

    for _ in range(5):
        await schedule(routing, timer("case", "breach", NOW))
        await timers.once()
        await commands.pop()
        row = await routing.pool.fetchrow("SELECT due, fires_at, attempts FROM timer")
        assert row is not None
        assert tuple(row) == (later, later, 0)


async def test_a_timer_that_is_not_due_does_not_fire_whatever_its_row_says(
    routing: Database, clock: FixedClock
) -> None:
    """A release before this one pulled timers forward that were scheduled again after a fault."""
    recorder = Recorder(routing, "breach")
    await schedule(routing, timer("case", "breach", NOW + dt.timedelta(days=5)))
    await routing.pool.execute("UPDATE timer SET fires_at = $1", NOW)
    await recorder.drain()
    assert recorder.fired == []


async def test_scheduling_again_replaces_and_cancelling_removes(routing: Database, clock: FixedClock) -> None:
    recorder = Recorder(routing, "mark")
    await schedule(routing, timer("moved", "mark", NOW), timer("gone", "mark", NOW))
    await schedule(routing, timer("moved", "mark", NOW + MINUTE))
    async with routing.transaction(["gone"]) as tx:
        tx.cancel("gone", "mark")
    await recorder.drain()
    assert recorder.fired == []
    clock.moment = NOW + MINUTE
    await recorder.drain()
    assert recorder.fired == [("moved", "mark")]


async def test_a_timer_that_fails_is_retried_later_and_blocks_no_other(
    routing: Database, clock: FixedClock
) -> None:
    recorder = Recorder(routing, "mark")
    broken = True

    @recorder.timers.on("fragile")
    async def fragile(tx: Tx, fired: list[FiredTimer]) -> None:
        if broken and any(one.aggregate == "bad" for one in fired):
            raise ZeroDivisionError
        recorder.fired += [(one.aggregate, one.kind) for one in fired]

    await schedule(
        routing, timer("bad", "fragile", NOW), timer("good", "fragile", NOW), timer("other", "mark", NOW)
    )
    await recorder.timers.once()
    assert sorted(recorder.fired) == [("good", "fragile"), ("other", "mark")]
    row = await routing.pool.fetchrow("SELECT fires_at, attempts FROM timer")
    assert row is not None
    assert row["fires_at"] > NOW
    assert row["attempts"] == 1
    broken = False
    clock.moment = row["fires_at"]
    await recorder.drain()
    assert ("bad", "fragile") in recorder.fired


async def test_timers_of_an_unknown_kind_block_no_other(routing: Database, clock: FixedClock) -> None:
    await schedule(routing, *(timer(f"case-{n}", "of-tomorrow", NOW - MINUTE) for n in range(600)))
    await schedule(routing, timer("case", "mark", NOW))
    recorder = Recorder(routing, "mark")
    await recorder.timers.once()
    assert recorder.fired == [("case", "mark")]
    assert await routing.pool.fetchval("SELECT count(*) FROM timer") == 600


async def test_a_timer_whose_transaction_is_lost_fires_again(routing: Database, clock: FixedClock) -> None:
    recorder = Recorder(routing, "mark")
    cut = True

    @recorder.timers.on("cut")
    async def lose(tx: Tx, fired: list[FiredTimer]) -> None:
        recorder.fired.append(("case", "cut"))
        tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject="case")
        if cut:
            await routing.pool.execute("SELECT pg_terminate_backend($1)", tx.connection.get_server_pid())
            await tx.connection.execute("SELECT 1")

    await schedule(routing, timer("case", "cut", NOW))
    with pytest.raises(Exception, match=r"terminat|connection|closed"):
        await recorder.timers.once()
    cut = False
    await recorder.drain()
    assert recorder.fired == [("case", "cut")] * 2
    values = [orjson.loads(row["value"]) for row in await routing.pool.fetch("SELECT value FROM outbox")]
    assert [value["sequence"] for value in values] == ["0000000001"]


async def test_a_timer_of_an_aggregate_without_a_row_fires_once_it_was_adopted(routing: Database) -> None:
    """As an older release beside this one leaves it."""
    fired: list[str] = []
    timers = Timers(routing, watermark_lag=lambda: 0.0)

    @timers.on("lonely")
    async def fire(_: Tx, due: list[FiredTimer]) -> None:
        fired.extend(timer.aggregate for timer in due)

    await routing.pool.execute(
        "INSERT INTO timer (aggregate, kind, due, fires_at, judges, data)"
        " VALUES ('unit', 'lonely', $1, $1, false, '{}')",
        routing.clock.now(),
    )
    await timers.once()
    assert fired == []
    await adopt_timers(routing.pool)
    await timers.once()
    assert fired == ["unit"]
