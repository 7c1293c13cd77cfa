"""What a service had said when its database was lost: its own events on the topics that it writes.

Reading begins at the marks of the restored tables (`shared/outbox/fence.py`): what is before them was
committed before the backup. Without marks it begins with the topic.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from shared import sql
from shared.contracts.addresses import TEMPLATES, code_of, topic_name
from shared.contracts.base import REGISTRY, Contract, Event, ordinal
from shared.errors import Permanent
from shared.events.decoding import contract_of
from shared.kafka.client import Reader, TopicMissing, existing_topics, read_until
from shared.kafka.records import Partition, RawRecord
from shared.unit_of_work.database import Database

QUERIES = sql.load("shared.restore")

_EARLIER_MS = 600_000
"""How much earlier than the first event on the own topic the others are read: relays are not that late."""


@dataclass(frozen=True, slots=True)
class SaidEvent:
    """One event as it is on its topic."""

    contract: Contract
    event: Event[Any]
    record: RawRecord

    @property
    def ordinal(self) -> int:
        return ordinal(self.event.epoch, self.event.sequence or 0)


@dataclass(slots=True)
class Said:
    """The events by id, in topic order; and the highest ordinal by subject and source."""

    events: dict[str, SaidEvent] = field(default_factory=dict)
    highest: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, said: SaidEvent) -> None:
        """A second sending changes nothing."""
        self.events.setdefault(said.event.id, said)
        own = self.highest.setdefault(said.event.subject, {})
        own[said.event.source] = max(own.get(said.event.source, 0), said.ordinal)

    @property
    def epoch(self) -> int:
        """The highest epoch; 0 if nothing was said."""
        return max((said.event.epoch for said in self.events.values()), default=0)

    def above(self, known: dict[str, dict[str, int]]) -> list[SaidEvent]:
        """The events that tables with the last ordinals `known` have forgotten, by source in order."""
        return sorted(
            (
                said
                for said in self.events.values()
                if said.ordinal > known.get(said.event.subject, {}).get(said.event.source, 0)
            ),
            key=lambda said: said.ordinal,
        )


async def read_said(database: Database) -> Said:
    """Reads the topics that the service writes. Raises KafkaError and asyncpg's errors."""
    settings = database.settings
    said = Said()
    own = topic_name(settings.topic_namespace, settings.service)
    rows = await database.pool.fetch(QUERIES["all_marks"])
    marks = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
    first = await _read(database, said, [own], marks, None)
    others = await _other_topics(database)
    if others and first is not None:
        await _read(database, said, others, {}, first - _EARLIER_MS if marks else None)
    return said


async def _other_topics(database: Database) -> list[str]:
    settings = database.settings
    written = {one.topic for one in REGISTRY.values() if one.writer == settings.service}
    written -= {settings.service, "actions"}
    names = [topic_name(settings.topic_namespace, logical) for logical in written - TEMPLATES]
    if "department" in written:
        existing = await existing_topics(settings.kafka, "civicloom-restore")
        names += [name for name in existing if _is_department(name, settings.topic_namespace)]
    return sorted(names)


def _is_department(name: str, namespace: str) -> bool:
    code = code_of(name)
    return code is not None and name == topic_name(namespace, "department", code)


async def _read(
    database: Database,
    said: Said,
    topics: list[str],
    marks: dict[Partition, int],
    since_ms: int | None,
) -> int | None:
    """Adds what the topics hold; the append time of the first event, None if there was none."""
    first: int | None = None
    reader = Reader(database.settings.kafka, "civicloom-restore", topics)
    with suppress(TopicMissing):
        await reader.start(marks)
        try:
            ends = await reader.ends()
            if since_ms is not None:
                reader.seek(await reader.offsets_at(since_ms))
            async for records in read_until(reader, ends):
                for one in own_events(records, database.settings.service):
                    said.add(one)
                    first = min(first or one.record.timestamp_ms, one.record.timestamp_ms)
        finally:
            await reader.stop()
    return first


def own_events(records: Iterable[RawRecord], service: str) -> list[SaidEvent]:
    """The events of `service` among the records; bytes that their contract refuses are not its own."""
    return [said for record in records if (said := _own_event(record, service)) is not None]


def _own_event(record: RawRecord, service: str) -> SaidEvent | None:
    with suppress(Permanent, ValidationError):
        contract = contract_of(record.value)
        if contract is None or contract.writer != service or contract.kind == "action":
            return None
        event = contract.parse(record.value or b"")
        if event.sequence is not None and f"{event.source}/".startswith(f"/services/{service}/"):
            return SaidEvent(contract, event, record)
    return None
