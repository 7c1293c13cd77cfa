"""Timers on business time. Whatever a timer does is one transaction with the claim of its row."""

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

_BATCH_ROWS = 500
_POLL_SECONDS = 0.2
_LONGEST_BACKOFF = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class FiredTimer:
    """A timer that is due. Its row is deleted when the transaction commits."""

    aggregate: str
    kind: str
    due: dt.datetime
    data: dict[str, Any]


TimerKey = tuple[str, str]
"""Aggregate and kind."""
Fire = Callable[[Tx, list[FiredTimer]], Awaitable[None]]


class Timers:
    """The timer loop of one service. Several replicas may run: rows are claimed with SKIP LOCKED.

    Parameters
    ----------
    database
        The service's database.
    watermark_lag
        Returns the lag of the service's watermark in seconds (`shared.inbox.watermark`). Deadline checks fire
        only while it is within the grace period, since an act that was in time may still be unread.
    """

    def __init__(self, database: Database, *, watermark_lag: Callable[[], float]) -> None:
        self._database = database
        self._watermark_lag = watermark_lag
        self._kinds: dict[str, Fire] = {}

    def on(self, kind: str) -> Callable[[Fire], Fire]:
        """Registers the decorated function for one kind of timer.

        The function takes the unit of work and fired timers of distinct aggregates, which are locked.

        Parameters
        ----------
        kind
            The kind in `TimerSpec`.

        Returns
        -------
        Callable
            A decorator that returns the function.

        Raises
        ------
        ValueError
            If the kind has a function already (from the decorator).
        """

        def register(fire: Fire) -> Fire:
            if kind in self._kinds:
                raise ValueError(f"the timer {kind} has a handler already")
            self._kinds[kind] = fire
            return fire

        return register

    async def run(self) -> None:
        """Fires timers until cancelled.

        Raises
        ------
        Exception
            Whatever `once` raises, except faults of infrastructure: those are waited out.
        """
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
        """Fires the timers that are due: together first, and one by one if that fails.

        A timer that fails alone is postponed with backoff.

        Returns
        -------
        int
            Number of timers tried.

        Raises
        ------
        asyncpg.PostgresError, OSError, TimeoutError
            If the database is away.
        """
        clock: Clock = self._database.clock
        may_check = self._watermark_lag() <= self._database.settings.grace_seconds
        kinds = list(self._kinds)
        rows = await self._database.pool.fetch(
            QUERIES["due_timers"], clock.now(), may_check, _BATCH_ROWS, kinds
        )
        # One per aggregate, the earliest, since it may cancel the next: keeps the order when the clock jumps.
        earliest: dict[str, str] = {}
        for row in rows:
            earliest.setdefault(row["aggregate"], row["kind"])
        due = list(earliest.items())
        if not due:
            return 0
        try:
            return await self._fire(due)
        except Exception as error:
            if is_infrastructure(error):
                raise
            log.warning("timers fail together and are fired one by one", error=repr(error))
        for timer in due:
            with about(timer[0]):
                await self._fire_alone(timer)
        return len(due)

    async def _fire(self, due: list[TimerKey]) -> int:
        async with self._database.transaction(aggregate for aggregate, _ in due) as tx:
            rows = await tx.connection.fetch(
                QUERIES["claim_timers"], [a for a, _ in due], [k for _, k in due], tx.now
            )
            by_kind: dict[str, list[FiredTimer]] = {}
            for row in rows:
                # Cancelled before the function runs, so that it may schedule the same kind again.
                tx.cancel(row["aggregate"], row["kind"])
                fired = FiredTimer(row["aggregate"], row["kind"], row["due"], orjson.loads(row["data"]))
                by_kind.setdefault(row["kind"], []).append(fired)
            for kind, timers in sorted(by_kind.items()):
                await self._kinds[kind](tx, timers)
        for kind, timers in by_kind.items():
            TIMERS.labels(kind).inc(len(timers))
        return len(rows)

    async def _fire_alone(self, due: TimerKey) -> None:
        try:
            await self._fire([due])
        except Exception as error:
            if is_infrastructure(error):
                raise
            aggregate, kind = due
            TIMER_FAULTS.labels(kind).inc()
            log.exception("timer fails", aggregate=aggregate, kind=kind)
            async with self._database.transaction([aggregate]) as tx:
                attempts = await tx.connection.fetchval(QUERIES["timer_attempts"], aggregate, kind)
                backoff = min(dt.timedelta(seconds=2 ** min(attempts or 0, 10)), _LONGEST_BACKOFF)
                await tx.connection.execute(QUERIES["postpone_timer"], aggregate, kind, tx.now + backoff)
