"""Timers on business time. Whatever a timer does is one transaction with the claim of its row."""

import asyncio
import datetime as dt
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg
import orjson

from shared.infrastructure import is_infrastructure, is_passing
from shared.logs import about, get_logger
from shared.metrics import TIMER_FAULTS, TIMERS
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import QUERIES, Tx

log = get_logger(__name__)

# Of each sort: timers, and deadline checks. Small enough that several replicas find work in one pile.
_BATCH_ROWS = 250
_POLL_SECONDS = 0.2
# A look that finds nothing to fire is followed by a pause of so many times its own length: what may not fire
# (a check of a parked case, a kind of another release) is read at each look, however much of it there is.
_PAUSE_FACTOR = 20
_LONGEST_BACKOFF = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class FiredTimer:
    """A timer that is due. Its row is deleted when the transaction commits."""

    aggregate: str
    kind: str
    due: dt.datetime
    data: dict[str, Any]


Fire = Callable[[Tx, list[FiredTimer]], Awaitable[None]]


class _Claim(NamedTuple):
    """A timer that a transaction has claimed; by `fires_at` it is known again if that is rolled back."""

    timer: FiredTimer
    fires_at: dt.datetime
    attempts: int


class Timers:
    """The timer loop of one service. Several replicas share the work: each skips what another has locked.

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
                started = time.monotonic()
                if await self.once() == 0:
                    took = time.monotonic() - started
                    await asyncio.sleep(max(_POLL_SECONDS, _PAUSE_FACTOR * took))
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
        claims: list[_Claim] = []
        try:
            return await self._fire_due(claims)
        except Exception as error:
            if is_infrastructure(error) or not claims:
                raise
            log.warning("timers fail together and are fired one by one", error=repr(error))
        for claim in claims:
            with about(claim.timer.aggregate):
                await self._fire_alone(claim)
        return len(claims)

    async def _fire_due(self, claims: list[_Claim]) -> int:
        """Fires what is due and not held by another transaction; puts what it claims into `claims`."""
        may_check = self._watermark_lag() <= self._database.settings.grace_seconds
        kinds = list(self._kinds)
        queries = ["lock_due", "lock_due_checks"] if may_check else ["lock_due"]
        async with self._database.transaction() as tx:
            aggregates: set[str] = set()
            for query in queries:
                rows = await tx.connection.fetch(QUERIES[query], tx.now, kinds, _BATCH_ROWS)
                aggregates.update(row["id"] for row in rows)
            if not aggregates:
                return 0
            # They are locked already, so nothing waits here.
            await tx.lock(aggregates)
            claims += await _claim(tx, sorted(aggregates), kinds, may_check=may_check)
            await self._call(tx, claims)
        _count(claims)
        return len(claims)

    async def _fire_alone(self, claim: _Claim) -> None:
        aggregate, kind = claim.timer.aggregate, claim.timer.kind
        try:
            async with self._database.transaction([aggregate]) as tx:
                claims = await _claim(tx, [aggregate], [kind], may_check=True)
                claim = claims[0] if claims else claim
                await self._call(tx, claims)
            _count(claims)
        except Exception as error:
            if is_infrastructure(error):
                raise
            TIMER_FAULTS.labels(kind).inc()
            log.exception("timer fails", aggregate=aggregate, kind=kind)
            await self._postpone(claim)

    async def _postpone(self, claim: _Claim) -> None:
        """Moves the timer back, unless a command has scheduled it again since it was claimed."""
        aggregate, kind = claim.timer.aggregate, claim.timer.kind
        backoff = min(dt.timedelta(seconds=2 ** min(claim.attempts, 10)), _LONGEST_BACKOFF)
        async with self._database.transaction([aggregate]) as tx:
            await tx.connection.execute(
                QUERIES["postpone_timer"], aggregate, kind, claim.fires_at, tx.now + backoff
            )

    async def _call(self, tx: Tx, claims: Sequence[_Claim]) -> None:
        by_kind: dict[str, list[FiredTimer]] = {}
        for claim in claims:
            # Cancelled before the function runs, so that it may schedule the same kind again.
            tx.cancel(claim.timer.aggregate, claim.timer.kind)
            by_kind.setdefault(claim.timer.kind, []).append(claim.timer)
        for kind, timers in sorted(by_kind.items()):
            await self._kinds[kind](tx, timers)


async def _claim(tx: Tx, aggregates: Sequence[str], kinds: Sequence[str], *, may_check: bool) -> list[_Claim]:
    """The earliest due timer of each aggregate; all of them are locked."""
    rows = await tx.connection.fetch(QUERIES["claim_timers"], aggregates, kinds, tx.now, may_check)
    return [
        _Claim(
            FiredTimer(row["aggregate"], row["kind"], row["due"], orjson.loads(row["data"])),
            row["fires_at"],
            row["attempts"],
        )
        for row in rows
    ]


def _count(claims: Sequence[_Claim]) -> None:
    for kind, count in Counter(claim.timer.kind for claim in claims).items():
        TIMERS.labels(kind).inc(count)


async def adopt_timers(pool: asyncpg.Pool) -> None:
    """Makes the rows of aggregates that have a timer and no row, as an older release leaves them."""
    await pool.execute(QUERIES["make_aggregates_of_timers"])
