"""How long the oldest event waits for Kafka: an outbox that no relay reads is seen as well."""

import asyncio
import datetime as dt

from shared import sql
from shared.clock import machine_now
from shared.infrastructure import is_passing
from shared.logs import get_logger
from shared.metrics import OUTBOX_AGE
from shared.unit_of_work.database import Database

QUERIES = sql.load("shared.outbox")
log = get_logger(__name__)

_LOOK_SECONDS = 5.0


class OutboxAge:
    """Sets the gauge from a pooled connection, not from the relay's session: that one may hang.

    The age is taken from the time that is stored with each row, not from what a process remembers, so a
    restart does not reset it, and it is machine time: the clock of the rules may jump.

    Parameters
    ----------
    database
        The service's database, which holds the outbox.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._oldest: dt.datetime | None = None
        # At each scrape, so that it grows on while the database does not answer.
        OUTBOX_AGE.set_function(self.seconds)

    def seconds(self) -> float:
        """Seconds since the oldest waiting event was written, as of the last look; 0 if none waited."""
        if self._oldest is None:
            return 0.0
        return max(0.0, (machine_now() - self._oldest).total_seconds())

    async def look(self) -> None:
        """Reads the oldest moment of both tables.

        Raises
        ------
        asyncpg.PostgresError, OSError, TimeoutError
            If the database is away; the last moment stays.
        """
        self._oldest = await self._database.pool.fetchval(QUERIES["oldest_written"])

    async def run(self) -> None:
        """Looks every five seconds until cancelled; faults of the database are waited out."""
        while True:
            try:
                await self.look()
            except Exception as error:
                if not is_passing(error):
                    raise
                log.warning("the age of the outbox is not known", error=repr(error))
            await asyncio.sleep(_LOOK_SECONDS)
