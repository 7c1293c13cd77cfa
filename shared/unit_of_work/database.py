"""The connection pool of one service, and the unit of work as a context manager."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

import asyncpg

from shared.clock import Clock, open_clock
from shared.infrastructure import DatabaseBehind
from shared.settings import CoreSettings
from shared.unit_of_work.sessions import open_pool, open_session
from shared.unit_of_work.transaction import QUERIES, Connection, Tx

T = TypeVar("T", bound=Tx)
RESTORING = "a restore is not finished: run `civicloom restore`"
"""The refusal of a database whose restore has begun."""


class Database:
    """The pool of one service, whose connections see its schema alone.

    `committed` is set after each commit that wrote events, and wakes the relay. `epoch` is read at start.
    `refusal` is the reason for which every unit of work raises DatabaseBehind, or None.
    """

    def __init__(self, pool: asyncpg.Pool, settings: CoreSettings, clock: Clock, epoch: int) -> None:
        self.pool = pool
        self.settings = settings
        self.clock = clock
        self.epoch = epoch
        self.committed = asyncio.Event()
        self.refusal: str | None = None

    @classmethod
    async def open(cls, settings: CoreSettings) -> "Database":
        """Connects. Raises asyncpg's errors and OSError if the database is away; the caller retries."""
        pool = await open_pool(settings)
        try:
            (row,) = await pool.fetch(QUERIES["read_epoch"])
        except BaseException:
            await pool.close()
            raise
        database = cls(pool, settings, open_clock(settings.clock_file), row["epoch"])
        if row["restoring"]:
            database.refusal = RESTORING
        return database

    async def close(self) -> None:
        """Waits up to five seconds for running queries, then terminates the connections."""
        try:
            async with asyncio.timeout(5):
                await self.pool.close()
        except TimeoutError:
            self.pool.terminate()

    async def connect(self, *, may_be_silent: bool = False) -> asyncpg.Connection:
        """A new connection outside the pool, for a session that holds advisory locks.

        It must say something more often than `OWNER_IDLE_SECONDS` (`sessions.ping`), or the server ends it,
        unless it `may_be_silent`.
        """
        return await open_session(self.settings, owner=not may_be_silent)

    @asynccontextmanager
    async def transaction(
        self,
        aggregates: Iterable[str] = (),
        *,
        new: Iterable[str] = (),
        connection: Connection | None = None,
    ) -> AsyncIterator[Tx]:
        """A unit of work: locks `aggregates`, creates `new` ones, and writes events and timers at its end.

        Uses `connection`, or one of the pool. Commits unless the body raises. Raises Conflict if a `new` id
        exists, and DatabaseBehind while `refusal` is set.
        """
        if self.refusal is not None:
            raise DatabaseBehind(self.refusal)
        if connection is None:
            async with self.pool.acquire() as pooled, self._work(pooled, aggregates, new) as tx:
                yield tx
        else:
            async with self._work(connection, aggregates, new) as tx:
                yield tx
        if tx.wrote_events:
            tx.count_emitted()
            self.committed.set()

    @asynccontextmanager
    async def _work(
        self, connection: Connection, aggregates: Iterable[str], new: Iterable[str]
    ) -> AsyncIterator[Tx]:
        async with connection.transaction():
            tx = self._unit_of_work(connection, Tx)
            await tx.lock(aggregates)
            tx.create(new)
            yield tx
            await tx.flush()

    def _unit_of_work(self, connection: Connection, kind: type[T]) -> T:
        return kind(
            connection,
            service=self.settings.service,
            namespace=self.settings.topic_namespace,
            clock=self.clock,
            epoch=self.epoch,
            grace=dt.timedelta(seconds=self.settings.grace_seconds),
        )
