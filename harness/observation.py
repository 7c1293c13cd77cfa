"""Observes a running installation from outside: its topics, its tables, and whether it is at rest."""

import asyncio
import datetime as dt
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import asyncpg
import orjson

from harness.at_rest import CoreState, LogEntry
from harness.history import History
from harness.installation import Installation
from shared.clock import open_clock
from shared.contracts.addresses import code_of, topic_name
from shared.contracts.readers import CONSUMERS
from shared.errors import CivicloomError
from shared.infrastructure import is_infrastructure
from shared.kafka.client import KafkaError, Reader
from shared.kafka.records import RawRecord
from shared.settings import ServiceName

_POLL_SECONDS = 0.1
# A deadline check of a case with a parked key waits for an operator, while business time goes on.
_MAY_FIRE = "NOT (judges AND EXISTS (SELECT FROM parked_key WHERE key = aggregate))"
Partition = tuple[str, int]


class NotQuiet(CivicloomError):
    """The installation did not come to rest in time; the message says what still moves."""


class Observation:
    """Async context manager over an installation whose database and topics exist."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._clock = open_clock(installation.clock_file)
        self._ends: Reader | None = None
        namespace = installation.namespace
        services = (
            topic_name(namespace, name) for name in ("inquiry", "routing", "publisher", "audit", "contact")
        )
        self.topics = [
            *services,
            *(
                topic_name(namespace, kind, unit)
                for unit in installation.units
                for kind in ("department", "actions")
            ),
        ]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ends is not None:
            await self._ends.stop()

    def read_by(self, service: ServiceName) -> list[str]:
        """The topics that a service's consumers read."""
        logical = {name for names in CONSUMERS[service].values() for name in names}
        return [topic for topic in self.topics if _logical(topic) in logical]

    async def settle(self, seconds: float = 60) -> None:
        """Returns when the installation is at rest. Raises NotQuiet."""
        reasons = ["nothing was seen"]
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            try:
                reasons = await self.unrest()
            except Exception as error:
                if not (is_infrastructure(error) or isinstance(error, KafkaError)):
                    raise
                reasons = [repr(error)]
            if not reasons:
                return
            await asyncio.sleep(_POLL_SECONDS)
        raise NotQuiet("; ".join(reasons))

    async def unrest(self) -> list[str]:
        """What still moves, one sentence each; empty if the installation is at rest.

        All work passes through an outbox, a topic and a cursor, or a timer. So if the ends of the topics are
        the same before and after the tables were read, and every cursor is at its end, no work was under way.
        """
        before = await self.ends()
        reasons = [
            reason
            for service in self._installation.services
            for reason in await self._moving(service, before)
        ]
        if before != await self.ends():
            reasons.append("topics grow")
        return reasons

    async def ends(self) -> dict[Partition, int]:
        """The end offset of every partition of every topic."""
        if self._ends is None:
            reader = Reader(self._installation.access, "ends", self.topics)
            await reader.start({})
            self._ends = reader
        return await self._ends.ends()

    async def history(self) -> History:
        """All records that are on the topics at this moment; later ones are left out."""
        history = History(self._installation.namespace)
        ends = await self.ends()
        async with asyncio.timeout(60 + sum(ends.values()) / 1000):
            async for record in self._records_before(ends):
                history.add(record)
        return history

    async def _records_before(self, ends: dict[Partition, int]) -> AsyncIterator[RawRecord]:
        """Every record below these ends, in the order of each partition."""
        missing = sum(ends.values())
        reader = Reader(self._installation.access, "history", self.topics)
        await reader.start({})
        try:
            while missing > 0:
                batch = await reader.read(5000, 200)
                wanted = [record for record in batch if record.offset < ends[record.topic, record.partition]]
                missing -= len(wanted)
                for record in wanted:
                    yield record
        finally:
            await reader.stop()

    async def core_state(self, service: ServiceName) -> CoreState:
        """The contents of the core tables of a service."""
        ends = await self.ends()
        async with self.tables(service) as tables:
            waiting = await tables.fetchval(
                "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM outbox_aside)"
            )
            cursors = await tables.fetch("SELECT consumer, topic, partition, next_offset FROM cursor")
            parked = await tables.fetch("SELECT DISTINCT key FROM parked_key")
            dead = await tables.fetchval(
                "SELECT coalesce(sum(records), 0) FROM dead_letter WHERE resolution IS NULL"
            )
            sequences = await tables.fetch("SELECT id, sequences FROM aggregate")
            awaited = await tables.fetch("SELECT subject, kind FROM expectation")
        return CoreState(
            service,
            waiting,
            {(row["consumer"], row["topic"], row["partition"]): row["next_offset"] for row in cursors},
            self._read_by(service, ends),
            {row["id"]: orjson.loads(row["sequences"]) for row in sequences},
            frozenset(row["key"] for row in parked),
            dead,
            {row["subject"]: row["kind"] for row in awaited},
        )

    async def log_entries(self) -> list[LogEntry]:
        """The entries of audit's log."""
        async with self.tables("audit") as tables:
            rows = await tables.fetch(
                "SELECT kind, source, subject, position, value FROM log_entry"
                " JOIN log_subject ON no = subject_no ORDER BY index"
            )
        return [
            LogEntry(
                row["kind"],
                row["source"],
                row["subject"],
                row["position"],
                hashlib.sha256(row["value"] or b"").digest(),
            )
            for row in rows
        ]

    async def next_due(self) -> dt.datetime | None:
        """The business time at which the next timer of any service fires."""
        found = []
        for service in self._installation.services:
            async with self.tables(service) as tables:
                found.append(await tables.fetchval(f"SELECT min(fires_at) FROM timer WHERE {_MAY_FIRE}"))
        return min((moment for moment in found if moment is not None), default=None)

    async def _moving(self, service: ServiceName, ends: dict[Partition, int]) -> Sequence[str]:
        async with self.tables(service) as tables:
            outbox = await tables.fetchval(
                "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM outbox_aside)"
            )
            due = await tables.fetchval(
                f"SELECT count(*) FROM timer WHERE fires_at <= $1 AND {_MAY_FIRE}",
                self._clock.now(),
            )
            parked = await tables.fetchval("SELECT count(*) FROM parked_key WHERE NOT dead")
            rows = await tables.fetch("SELECT consumer, topic, partition, next_offset FROM cursor")
            log = (
                await tables.fetch("SELECT topic, partition, next_offset FROM log_cursor")
                if service == "audit"
                else []
            )
        cursors = {(row["consumer"], row["topic"], row["partition"]): row["next_offset"] for row in rows}
        unread = sum(
            end - cursors.get(partition, 0) for partition, end in self._read_by(service, ends).items()
        )
        if service == "audit":
            logged = {(row["topic"], row["partition"]): row["next_offset"] for row in log}
            unread += sum(
                end - logged.get(partition, 0)
                for partition, end in ends.items()
                if self._is_logged(partition[0])
            )
        counts = {"in the outbox": outbox, "timers due": due, "keys parked": parked, "unread": unread}
        return [f"{service}: {count} {what}" for what, count in counts.items() if count]

    def _is_logged(self, topic: str) -> bool:
        return topic in self.topics[:4]

    def _read_by(self, service: ServiceName, ends: dict[Partition, int]) -> dict[tuple[str, str, int], int]:
        """The end offsets of what a service's consumers read, by consumer, topic and partition."""
        logical = {topic: _logical(topic) for topic, _ in ends}
        return {
            (consumer, *partition): end
            for consumer, topics in CONSUMERS[service].items()
            for partition, end in ends.items()
            if logical[partition[0]] in topics
        }

    @asynccontextmanager
    async def tables(self, service: ServiceName) -> AsyncIterator[asyncpg.Connection]:
        """A read-only snapshot of a service's tables, which are found by their plain names."""
        connection = await asyncpg.connect(
            self._installation.database_url, timeout=10, server_settings={"search_path": service}
        )
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        finally:
            await connection.close()


def _logical(topic: str) -> str:
    if code_of(topic) is not None:
        return "actions" if topic.endswith(".actions.v1") else "department"
    return topic.split(".")[-2]
