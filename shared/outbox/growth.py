"""Gives a topic more partitions without harm to the order of any key: what `civicloom topics grow` does.

1. Every relay holds the topic: its events wait in the outbox.
2. Every reader reads what is there, to the end.
3. The partitions are added.
4. The kept width is changed in every schema, and the relays go on.

Each step is a row in the tables, so the growth can be killed anywhere and run again. Until all readers are
through it can be taken back; from then on it can only be finished.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import asyncpg

from shared import sql
from shared.errors import CivicloomError
from shared.infrastructure import is_infrastructure
from shared.kafka.admin import KafkaAdmin
from shared.kafka.client import Reader
from shared.kafka.records import Partition
from shared.kafka.topic_changes import KeptWidth
from shared.kafka_access import KafkaAccess
from shared.outbox.relay import SHARDS
from shared.outbox.widths import lock_class, read_widths, width_locks
from shared.settings import ServiceName
from shared.unit_of_work.database import Database

QUERIES = sql.load("shared.outbox")

_POLL_SECONDS = 0.5
_ALIVE = SHARDS  # the lock that every live relay holds
_ONE_AT_A_TIME = lock_class("topics", "grow")

ReadOffsets = Callable[[], Awaitable[Mapping[Partition, int]]]
"""The next offset by partition of one reader of the topic."""


class GrowthRefused(CivicloomError):
    """The topic cannot grow like that, or not now; the message says why and what to do."""


class NothingToGrow(GrowthRefused):
    """The number asked for is not above the present one."""


class Growth:
    """The growth of one topic.

    Parameters
    ----------
    databases
        The databases of all services: each of them may send to the topic.
    readers
        What every reader of the topic has read, by a name for the operator.
    seconds
        How long the relays, and then the readers, may take.
    report
        Called with a sentence about each step, and about what is waited for.
    """

    def __init__(
        self,
        databases: Mapping[ServiceName, Database],
        admin: KafkaAdmin,
        access: KafkaAccess,
        topic: str,
        readers: Mapping[str, ReadOffsets],
        *,
        seconds: float,
        report: Callable[[str], None],
    ) -> None:
        self._databases = databases
        self._admin = admin
        self._access = access
        self._topic = topic
        self._readers = readers
        self._seconds = seconds
        self._report = report
        self._session: asyncpg.Connection | None = None

    async def grow(self, partitions: int) -> int:
        """Widens the topic to `partitions`; the width that it had. It may be run again after a crash.

        Raises NothingToGrow, GrowthRefused (the topic is then released again, unless the message says
        otherwise) and BrokerRefused.
        """
        async with self._alone():
            kept = await self._kept()
            for one in kept.values():
                if one.grows_to not in (None, partitions):
                    raise GrowthRefused(
                        f"{self._topic} is growing to {one.grows_to} partitions already: run it with "
                        f"{one.grows_to}, or with --abort"
                    )
            width = await self._width(kept, partitions)
            if width == partitions and not any(one.grows_to for one in kept.values()):
                return width
            if not any(one.drained for one in kept.values()):
                await self._make_ready(width, partitions)
            await self._finish(partitions)
            return width

    async def abort(self) -> str:
        """Releases a topic that a growth left held; a sentence that says what became of it."""
        async with self._alone():
            kept = await self._kept()
            for one in kept.values():
                if one.drained and one.grows_to is not None:
                    # A relay may have gone on with the new width already.
                    await self._finish(one.grows_to)
                    return f"{self._topic} was too far to go back: it has {one.grows_to} partitions now"
            if all(one.grows_to is None for one in kept.values()):
                return f"{self._topic} is not held"
            await self._release()
            width = min(one.partitions for one in kept.values())
            return f"{self._topic} is released, with {width} partitions as before"

    async def _kept(self) -> dict[ServiceName, KeptWidth]:
        kept = {}
        for service, database in self._databases.items():
            if found := await read_widths(database, [self._topic]):
                kept[service] = found[self._topic]
        return kept

    async def _width(self, kept: Mapping[ServiceName, KeptWidth], partitions: int) -> int:
        """The present width; the broker's if no service has sent to the topic. Raises NothingToGrow."""
        state = (await self._admin.describe([self._topic])).get(self._topic)
        if state is None:
            raise GrowthRefused(f"the broker has no topic {self._topic}: run `civicloom topics apply`")
        widths = {one.partitions for one in kept.values()} or {state.partitions}
        if state.partitions < max(widths):
            raise GrowthRefused(
                f"{self._topic} has {state.partitions} partitions on the broker, fewer than the "
                f"{max(widths)} that the services keep: run `civicloom topics apply` first"
            )
        if partitions < max(widths):
            raise NothingToGrow(
                f"{self._topic} has {max(widths)} partitions: Kafka cannot take any away, so choose more"
            )
        return min(widths)

    async def _make_ready(self, width: int, partitions: int) -> None:
        """Everything up to the point from which there is no way back; releases the topic if that fails."""
        try:
            for database in self._databases.values():
                await database.pool.execute(QUERIES["hold_topic"], self._topic, width, partitions)
            self._report(f"{self._topic} is held: its events wait in the outboxes")
            await self._relays_hold()
            await self._readers_are_through()
            state = (await self._admin.describe([self._topic]))[self._topic]
            if state.partitions < partitions:
                await self._admin.widen(self._topic, partitions)
                self._report(f"{self._topic} has {partitions} partitions on the broker")
            await self._still_alone()
        except BaseException:
            await self._give_up(width)
            raise

    async def _give_up(self, width: int) -> None:
        try:
            await self._release()
        except Exception as error:
            if not is_infrastructure(error):
                raise
            self._report(f"{self._topic} is still held ({error}): run it again, or with --abort")
        else:
            self._report(f"{self._topic} is released, with {width} partitions as before")

    async def _finish(self, partitions: int) -> None:
        """Lets the relays go on with the new width.

        Every schema is marked before the first one goes on, so that what a crash leaves behind shows that
        there is no way back.
        """
        for database in self._databases.values():
            await database.pool.execute(QUERIES["mark_drained"], self._topic, partitions)
        for database in self._databases.values():
            await database.pool.execute(QUERIES["widen_topic"], self._topic)
        self._report(f"{self._topic} goes on with {partitions} partitions")

    async def _release(self) -> None:
        for database in self._databases.values():
            await database.pool.execute(QUERIES["release_topic"], self._topic)

    async def _relays_hold(self) -> None:
        """Returns when every relay has read that the topic is held. One that hangs would still send."""

        async def waited_for() -> list[str]:
            found = []
            for service, database in self._databases.items():
                locks = lock_class("relay", service), _ALIVE, width_locks(service)
                rows = await database.pool.fetch(QUERIES["relays_to_wait_for"], *locks)
                found += [f"a relay of {service} (PostgreSQL session {row['pid']})" for row in rows]
            return found

        await self._until_none(waited_for, "it hangs, or is of a release that knows no held topics: end it")

    async def _readers_are_through(self) -> None:
        reader = Reader(self._access, "civicloom-topics-grow", [self._topic])
        await reader.start({})
        try:
            begins, ends = await reader.begins(), await reader.ends()
        finally:
            await reader.stop()

        async def waited_for() -> list[str]:
            found = []
            for name, read in self._readers.items():
                offsets = await read()
                behind = sum(max(0, end - max(begins[at], offsets.get(at, 0))) for at, end in ends.items())
                if behind:
                    found.append(f"{name} ({behind} records)")
            return found

        await self._until_none(waited_for, "see whether it runs and what it waits for")

    async def _until_none(self, waited_for: Callable[[], Awaitable[list[str]]], advice: str) -> None:
        """Reports what is waited for until it is nothing. Raises GrowthRefused after the time allowed."""
        deadline = time.monotonic() + self._seconds
        last: list[str] = []
        while found := await waited_for():
            await self._still_alone()
            if time.monotonic() > deadline:
                raise GrowthRefused(f"not within {self._seconds:g} s: {', '.join(found)}; {advice}")
            if found != last:
                self._report(f"waiting for {', '.join(found)}")
            last = found
            await asyncio.sleep(_POLL_SECONDS)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Only one growth runs at a time. Raises GrowthRefused."""
        first = next(iter(self._databases.values()))
        session = await first.connect()
        try:
            if not await session.fetchval(QUERIES["claim_shard"], _ONE_AT_A_TIME, 0):
                raise GrowthRefused("another `civicloom topics grow` is running: wait for its end")
            self._session = session
            yield
        finally:
            session.terminate()

    async def _still_alone(self) -> None:
        """Raises a fault of infrastructure if the session with the lock is gone; keeps it from idling too."""
        if self._session is not None:
            await self._session.execute("SELECT 1")
