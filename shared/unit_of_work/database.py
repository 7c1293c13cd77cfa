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
        pool = await asyncpg.create_pool(
            settings.service_database_url,
            min_size=1,
            max_size=settings.pool_size,
            command_timeout=60,
            timeout=10,
            server_settings={
                "search_path": settings.service,
                "application_name": f"civicloom {settings.service}",
            },
        )
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

    async def connect(self) -> asyncpg.Connection:
        """A new connection outside the pool, for a session that holds advisory locks."""
        return await asyncpg.connect(
            self.settings.service_database_url,
            timeout=10,
            command_timeout=60,
            server_settings={
                "search_path": self.settings.service,
                "application_name": f"civicloom {self.settings.service} owner",
            },
        )

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

    async def ping(self) -> None:
        """Runs an empty query. Raises asyncpg's errors, OSError, or TimeoutError after two seconds."""
        await self.pool.fetchval("SELECT 1", timeout=2)
