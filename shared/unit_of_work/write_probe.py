"""Asks the database now and then whether it takes writes: one that only reads looks healthy to a SELECT."""

import asyncio
import time

import asyncpg

from shared.infrastructure import is_infrastructure
from shared.unit_of_work.transaction import QUERIES

_EVERY_SECONDS = 5.0
_PATIENCE_SECONDS = 2.0


class WriteProbe:
    """One small write per process and five seconds at most, however often it is asked for.

    The write is some temporary pages, which a full disk refuses, and a row lock, which needs the database's
    journal and which a standby refuses. Nothing of it is left over.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._writing: asyncio.Task[str | None] | None = None
        self._began = 0.0

    async def fault(self) -> str | None:
        """Why the database takes no writes; None if it does. Answers within two seconds.

        Raises what is no fault of the infrastructure.
        """
        if self._writing is None or (
            self._writing.done() and time.monotonic() - self._began > _EVERY_SECONDS
        ):
            self._began = time.monotonic()
            self._writing = asyncio.create_task(self._write())
        # Not cancelled when it takes longer: a connection that does not answer cannot be cancelled quickly.
        await asyncio.wait({self._writing}, timeout=_PATIENCE_SECONDS)
        if not self._writing.done():
            return f"no answer within {_PATIENCE_SECONDS:.0f} s"
        return self._writing.result()

    async def _write(self) -> str | None:
        try:
            async with self._pool.acquire(timeout=_EVERY_SECONDS) as connection, connection.transaction():
                await connection.execute(QUERIES["probe_memory"])
                await connection.fetchval(QUERIES["probe_disk"], timeout=_EVERY_SECONDS)
                await connection.execute(QUERIES["probe_journal"], timeout=_EVERY_SECONDS)
        except Exception as error:
            if not is_infrastructure(error):
                raise
            return type(error).__name__
        return None
