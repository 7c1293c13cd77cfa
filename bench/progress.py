"""Progress of each step of the whole way, read from offsets and cursors: cheap at any volume."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.generator import Counters
from shared.contracts.addresses import topic_name
from shared.kafka_access import KafkaAccess

STEPS = (
    "intake committed, timer armed",
    "received, on inquiry's topic",
    "dispatched by routing",
    "on the department's topic",
    "known to inquiry",
    "under a published checkpoint",
    "notice decided by publisher",
)

_CURSORS = """
SELECT 'routing' AS service, topic, sum(next_offset)::bigint AS done FROM routing.cursor GROUP BY topic
UNION ALL
SELECT 'inquiry', topic, sum(next_offset)::bigint FROM inquiry.cursor GROUP BY topic
UNION ALL
SELECT 'publisher', topic, sum(next_offset)::bigint FROM publisher.cursor GROUP BY topic
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """Inquiries through each of STEPS, and whether all of them are at rest.

    Where a step is an event among others, the number of inquiries is its share of them.
    """

    steps: tuple[int, ...]
    settled: bool

    @property
    def through(self) -> int:
        """Inquiries that are through all steps."""
        return min(self.steps)


class Ends:
    """The offsets after the last record, by topic; an async context manager."""

    def __init__(self, access: KafkaAccess, topics: Iterable[str]) -> None:
        self._consumer: Any = AIOKafkaConsumer(**access.options(), enable_auto_commit=False)
        self._topics = tuple(topics)
        self._places: list[Any] = []

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        metadata = await self._consumer._client.fetch_all_metadata()
        self._places = [
            TopicPartition(topic, partition)
            for topic in self._topics
            for partition in metadata.partitions_for_topic(topic) or ()
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def read(self) -> dict[str, int]:
        total = dict.fromkeys(self._topics, 0)
        for place, offset in (await self._consumer.end_offsets(self._places)).items():
            total[place.topic] += offset
        return total


@dataclass(frozen=True, slots=True)
class Way:
    """Looks at a run of the whole way. `departments` are the topics of the units."""

    connection: asyncpg.Connection
    ends: Ends
    counters: Counters
    namespace: str
    departments: tuple[str, ...]
    checkpoint: Path

    async def look(self) -> Progress:
        """The present counts of all steps."""
        committed, records = self.counters.committed.value, self.counters.records.value
        done = {
            (row["service"], row["topic"]): int(row["done"]) for row in await self.connection.fetch(_CURSORS)
        }
        ends = await self.ends.read()
        logged = published_size(self.checkpoint)
        inquiry, routing, contact = (self._topic(name) for name in ("inquiry", "routing", "contact"))
        delivered = sum(ends[topic] for topic in self.departments)
        # Events per inquiry on routing's topic: case.dispatched, and mostly one delivery.succeeded.
        offered = self.counters.offered.value
        said = 1 + offered / committed if committed else 1.0
        notified = min(
            done.get(("publisher", inquiry), 0),
            round(done.get(("publisher", routing), 0) / said),
        )
        steps = (
            committed,
            ends[inquiry],
            done.get(("routing", inquiry), 0),
            round(delivered * committed / records) if records else 0,
            round(done.get(("inquiry", routing), 0) / said),
            round(logged / (1 + said)),
            notified,
        )
        logging = sum(ends[self._topic(name)] for name in ("inquiry", "routing", "publisher", "audit"))
        arrived = (
            (ends[inquiry], committed),
            (done.get(("routing", inquiry), 0), committed),
            (done.get(("publisher", inquiry), 0), committed),
            (delivered, records),
            # Records of a case that were acknowledged apart are stated apart.
            (committed + offered <= ends[routing] <= committed + records, True),
            (done.get(("inquiry", routing), 0), ends[routing]),
            (done.get(("publisher", routing), 0), ends[routing]),
            (done.get(("publisher", contact), 0), self.counters.contacts.value),
            (logged, logging),
        )
        return Progress(steps, all(found == wanted for found, wanted in arrived))

    def _topic(self, logical: str) -> str:
        return topic_name(self.namespace, logical)


def topics_of(namespace: str, units: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The topics of the services, and those that units read."""
    services = tuple(
        topic_name(namespace, name) for name in ("inquiry", "routing", "publisher", "audit", "contact")
    )
    return services, tuple(topic_name(namespace, "department", unit) for unit in units)


def published_size(checkpoint: Path) -> int:
    """The size in the log's published checkpoint; 0 while there is none."""
    try:
        return int(checkpoint.read_text().splitlines()[1])
    except (OSError, IndexError, ValueError):
        return 0


def check_counts(found: Mapping[str, int], wanted: Mapping[str, int]) -> list[str]:
    """What differs, as sentences: a run that lost or doubled something has no figures."""
    return [
        f"{name}: {found.get(name)} instead of {count}"
        for name, count in wanted.items()
        if found.get(name) != count
    ]
