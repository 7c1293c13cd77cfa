"""Keeps a service from working on a database that is behind its own topic: one that was restored.

Such a database would number other events under sequences that are taken. So a relay that opens its session
compares the end of its own topic with its tables, and sends nothing while an event stands on the topic that
the tables do not know. Everything that is written before the first comparison waits in the outbox, where a
restore can still give it another number.

The comparison begins at the marks (table `sent_mark`), which the relay moves every few seconds. The end of a
partition is asked for before the mark is written: what was on the topic then was committed before, so it is
part of every backup that has the mark.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple, NoReturn

import asyncpg
import orjson
from pydantic import ValidationError

from shared import sql
from shared.contracts.addresses import topic_name
from shared.contracts.base import ordinal
from shared.errors import CivicloomError, Permanent
from shared.events.decoding import contract_of
from shared.infrastructure import DatabaseBehind, is_passing
from shared.kafka.client import KafkaError, Reader, TopicMissing, read_until
from shared.kafka.records import Partition, RawRecord
from shared.logs import get_logger
from shared.metrics import BEHIND
from shared.unit_of_work.database import RESTORING, Database
from shared.unit_of_work.transaction import QUERIES as CORE_QUERIES

QUERIES = sql.load("shared.outbox")
log = get_logger(__name__)

_MARK_SECONDS = 5.0
# Without a mark (the first start after an upgrade) this many offsets before the end are compared.
_TAIL = 1000
_BATCH = 2000


class HistoryReplaced(CivicloomError):
    """The database is another one than before, so all that this process remembers is wrong: it must end."""


class Place(NamedTuple):
    """Where an event stands in its source's sequence about a subject; a place has one event."""

    subject: str
    source: str
    ordinal: int


class Fence:
    """The comparison, for one service.

    `passed` is set after the first comparison that found the tables complete. While they are behind, the
    reason is `database.refusal`, and every unit of work is refused.
    """

    def __init__(self, database: Database) -> None:
        self.passed = asyncio.Event()
        self._database = database
        settings = database.settings
        self._service = settings.service
        self._access = settings.kafka
        self._topic = topic_name(settings.topic_namespace, settings.service)
        self._session: asyncpg.Connection | None = None
        self._marks: dict[Partition, int] = {}

    async def check(self, session: asyncpg.Connection) -> None:
        """Compares the tables with the topic. Call it with each new session of the relay, before it sends.

        Raises DatabaseBehind if they are behind, HistoryReplaced if they are and were not before, KafkaError
        if the topic cannot be read, and asyncpg's errors.
        """
        self._session, self._marks = None, {}
        epoch = await self._unfinished(session)
        forgotten = await self._first_forgotten(session)
        if forgotten is not None:
            self._refuse(
                f"the database is older than {self._topic}, which has event {forgotten.ordinal} of "
                f"{forgotten.source} about {forgotten.subject}: run `civicloom restore`"
            )
        self._database.epoch, self._database.refusal = epoch, None
        BEHIND.set(0)
        self._session = session
        self.passed.set()

    async def tend(self, session: asyncpg.Connection) -> None:
        """Call it once a second: writes the marks, and notices a restore that has begun.

        Raises HistoryReplaced then, and asyncpg's errors.
        """
        await self._unfinished(session)
        if self._session is session and self._marks:
            marks, self._marks = self._marks, {}
            topics, numbers = zip(*marks, strict=True)
            await session.execute(QUERIES["set_marks"], topics, numbers, list(marks.values()))

    async def run(self) -> None:
        """Asks for the ends that become marks, until cancelled; a broker that is away is waited for."""
        reader: Reader | None = None
        try:
            while True:
                try:
                    if reader is None:
                        reader = await self._open_reader()
                    # The ends belong to the session that was compared before they were asked for.
                    session, ends = self._session, await reader.ends()
                    if session is not None and session is self._session:
                        self._marks = ends
                except Exception as error:
                    if not is_passing(error, KafkaError):
                        raise
                    log.debug("marks wait", error=repr(error))
                    if reader is not None:
                        await reader.stop()
                        reader = None
                await asyncio.sleep(_MARK_SECONDS)
        finally:
            if reader is not None:
                await reader.stop()

    async def _unfinished(self, session: asyncpg.Connection) -> int:
        """The epoch. Raises if a restore is under way, or has replaced the history of this process."""
        (row,) = await session.fetch(QUERIES["read_epoch_state"])
        epoch: int = row["epoch"]
        if row["restoring"]:
            self._refuse(RESTORING)
        if self.passed.is_set() and epoch != self._database.epoch:
            raise HistoryReplaced(f"the epoch is {epoch}, no longer {self._database.epoch}")
        return epoch

    def _refuse(self, reason: str) -> NoReturn:
        """Raises. While it is behind, nothing may be decided on what the tables say."""
        if self._database.refusal is None:
            log.critical("the service does not work", reason=reason)
        self._database.refusal = reason
        BEHIND.set(1)
        if self.passed.is_set():
            raise HistoryReplaced(reason)
        raise DatabaseBehind(reason)

    async def _first_forgotten(self, session: asyncpg.Connection) -> Place | None:
        rows = await session.fetch(QUERIES["read_marks"], self._topic)
        marks = {(self._topic, row["partition"]): row["next_offset"] for row in rows}
        try:
            reader = await self._open_reader()
        except TopicMissing:
            if marks:
                raise  # it was there: the broker does not know its topics yet, or somebody has deleted it
            return None
        try:
            ends = await reader.ends()
            reader.seek({one: marks.get(one, max(0, end - _TAIL)) for one, end in ends.items()})
            seen: dict[Place, bytes] = {}
            async for records in read_until(reader, ends):
                places = own_places(records, self._service)
                for place in await forgotten(session, places):
                    return place
                seen |= {place: _digest(value) for place, value in places.items()}
        finally:
            await reader.stop()
        return await self._first_taken(session, seen)

    async def _first_taken(self, session: asyncpg.Connection, seen: Mapping[Place, bytes]) -> Place | None:
        """A place on the topic under which another event waits: written before the first comparison."""
        if not seen:
            return None
        keys = list({place.subject for place in seen})
        rows = await session.fetch(QUERIES["unsent_of"], self._topic, keys)
        for row in rows:
            place, digest = place_of(row["value"], self._service), _digest(row["value"])
            if place is not None and seen.get(place, digest) != digest:
                return place
        return None

    async def _open_reader(self) -> Reader:
        reader = Reader(self._access, f"civicloom-{self._service}-fence", [self._topic])
        await reader.start({})
        return reader


async def forgotten(session: asyncpg.Connection, places: Iterable[Place]) -> list[Place]:
    """The places above what the tables have numbered, in the given order."""
    given = list(places)
    if not given:
        return []
    rows = await session.fetch(CORE_QUERIES["read_sequences"], list({place.subject for place in given}))
    known: Mapping[str, Mapping[str, int]] = {row["id"]: orjson.loads(row["sequences"]) for row in rows}
    return [place for place in given if place.ordinal > known.get(place.subject, {}).get(place.source, 0)]


def own_places(records: Iterable[RawRecord], service: str) -> dict[Place, bytes]:
    """The events that `service` has written, by place; other records say nothing about its tables."""
    values = [record.value for record in records if record.value is not None]
    return {place: value for value in values if (place := place_of(value, service)) is not None}


def place_of(value: bytes, service: str) -> Place | None:
    """The place of an event of `service`; None for all else.

    Bytes that their own contract refuses were not written by it either.
    """
    with suppress(Permanent, ValidationError):
        contract = contract_of(value)
        if contract is None or contract.writer != service:
            return None
        event = contract.parse(value)
        own = f"/services/{service}"
        if event.sequence is not None and (event.source == own or event.source.startswith(f"{own}/")):
            return Place(event.subject, event.source, ordinal(event.epoch, event.sequence))
    return None


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=16).digest()
