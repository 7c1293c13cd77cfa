"""Timers on business time: claimed after their aggregates, fired through the outbox like everything else."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from shared.clock import Clock
from shared.infrastructure import is_infrastructure, is_passing
from shared.logs import about, get_logger
from shared.metrics import TIMER_FAULTS, TIMERS
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import QUERIES, Tx

log = get_logger(__name__)

_BATCH = 500
_POLL_SECONDS = 0.2
_LONGEST_BACKOFF = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class FiredTimer:
    """A timer that is due: its row is gone when the transaction commits."""

    aggregate: str
    kind: str
    due: dt.datetime
    data: dict[str, Any]


Fire = Callable[[Tx, list[FiredTimer]], Awaitable[None]]


class Timers:
    """The timer loop of one service. Several copies may run: rows are claimed with SKIP LOCKED.

    `watermark_lag` tells the age in seconds of the service's oldest unread event: a timer that judges fires
    only while it is below the grace period, since what was in time may still be on its way.
    """

    def __init__(self, database: Database, *, watermark_lag: Callable[[], float]) -> None:
        self._database = database
        self._unread_age = watermark_lag
        self._kinds: dict[str, Fire] = {}

    def on(self, kind: str) -> Callable[[Fire], Fire]:
        """Registers what a kind of timer does: set-based, over distinct aggregates, which are locked."""

        def register(fire: Fire) -> Fire:
            if kind in self._kinds:
                raise ValueError(f"the timer {kind} has a handler already")
            self._kinds[kind] = fire
            return fire

        return register

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                if await self.once() == 0:
                    await asyncio.sleep(_POLL_SECONDS)
            except Exception as error:
                if not is_passing(error):
                    raise
                log.warning("timers wait", error=repr(error))
                await asyncio.sleep(1)

    async def once(self) -> int:
        """Fires what is due; the number of timers taken."""
        clock: Clock = self._database.clock
        may_judge = self._unread_age() <= self._database.settings.grace_seconds
        kinds = list(self._kinds)
        due = await self._database.pool.fetch(QUERIES["due_timers"], clock.now(), may_judge, _BATCH, kinds)
        # One of each aggregate, the earliest: it may disarm the next. So order survives a jump of the clock.
        first: dict[str, str] = {}
        for row in due:
            first.setdefault(row["aggregate"], row["kind"])
        places = list(first.items())
        if not places:
            return 0
        try:
            return await self._fire(places)
        except Exception as error:
            if is_infrastructure(error):
                raise
            log.warning("timers fail together, one by one now", error=repr(error))
        for place in places:
            with about(place[0]):
                await self._fire_alone(place)
        return len(places)

    async def _fire(self, places: list[tuple[str, str]]) -> int:
        async with self._database.transaction(aggregate for aggregate, _ in places) as tx:
            rows = await tx.connection.fetch(
                QUERIES["claim_timers"], [a for a, _ in places], [k for _, k in places], tx.now
            )
            by_kind: dict[str, list[FiredTimer]] = {}
            for row in rows:
                # Taken away first, so that what fires may arm the same kind again.
                tx.cancel(row["aggregate"], row["kind"])
                fired = FiredTimer(row["aggregate"], row["kind"], row["due"], orjson.loads(row["data"]))
                by_kind.setdefault(row["kind"], []).append(fired)
            for kind, fired_now in sorted(by_kind.items()):
                await self._kinds[kind](tx, fired_now)
        for kind, fired_now in by_kind.items():
            TIMERS.labels(kind).inc(len(fired_now))
        return len(rows)

    async def _fire_alone(self, place: tuple[str, str]) -> None:
        try:
            await self._fire([place])
        except Exception as error:
            if is_infrastructure(error):
                raise
            aggregate, kind = place
            TIMER_FAULTS.labels(kind).inc()
            log.exception("timer fails", aggregate=aggregate, kind=kind)
            async with self._database.transaction([aggregate]) as tx:
                attempts = await tx.connection.fetchval(QUERIES["timer_attempts"], aggregate, kind)
                backoff = min(dt.timedelta(seconds=2 ** min(attempts or 0, 10)), _LONGEST_BACKOFF)
                await tx.connection.execute(QUERIES["postpone_timer"], aggregate, kind, tx.now + backoff)
