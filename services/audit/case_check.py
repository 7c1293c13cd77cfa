"""Finds cases that the log knows from other services' events only: the entry of their intake is missing.

It reads what the log holds and nothing of how that came in: neither offsets nor gaps, of which a lost first
event leaves none. What it finds is expected like what the other services wait for, so gauge, alert and
`civicloom status` are theirs.
"""

import asyncio

import asyncpg

from services.audit import queries
from shared.ids import is_id, moment_of
from shared.infrastructure import is_passing
from shared.logs import get_logger
from shared.unit_of_work.database import Database
from shared.unit_of_work.expectations import Expectation, write_expectations

log = get_logger(__name__)

_AT_ONCE = 1000
_EVERY_SECONDS = 15.0
_PAUSE_SECONDS = 0.1


class CaseCheck:
    """Looks at every subject of the log once, and at the cases without an intake until it has come.

    One copy at a time; `inquiry_topic` is where intakes come from.
    """

    def __init__(self, database: Database, inquiry_topic: str) -> None:
        self._pool: asyncpg.Pool = database.pool
        self._topic = inquiry_topic

    async def run(self) -> None:
        """Runs until cancelled, and goes on when the database is back.

        A subject is looked at once it has been there for a round: topics are read side by side, and what
        others say of a case may be logged a moment before its intake.
        """
        known = -1
        while True:
            try:
                newest = await queries.newest_subject(self._pool)
                while await self.look(known):
                    await asyncio.sleep(_PAUSE_SECONDS)
                await self.look_again()
                known = newest
            except Exception as error:
                if not is_passing(error):
                    raise
                log.warning("cases without an intake are not looked for", error=repr(error))
            await asyncio.sleep(_EVERY_SECONDS)

    async def look(self, newest: int) -> bool:
        """Looks at up to a thousand subjects that are new, none above number `newest`.

        Returns whether there may be more.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            found = await queries.next_subjects(connection, newest, _AT_ONCE)
            if found.last is None:
                return False
            if found.unbegun:
                begins = await queries.late_beginning(connection, self._topic)
                missing = {
                    Expectation(subject, "intake"): True
                    for subject in found.unbegun
                    # What had begun before a log that was begun late has no entry there, and loses nothing.
                    if is_id(subject) and (begins is None or moment_of(subject) >= begins)
                }
                await write_expectations(connection, missing)
            await queries.mark_checked(connection, found.last)
        return found.seen == _AT_ONCE

    async def look_again(self) -> None:
        """Ends the wait for the intakes that have come since."""
        after: str | None = ""
        while after is not None:
            after, begun = await queries.begun_since(self._pool, after, _AT_ONCE)
            if begun:
                await write_expectations(
                    self._pool, {Expectation(subject, "intake"): False for subject in begun}
                )
