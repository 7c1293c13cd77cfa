"""SQL of audit's readers. The writer's statements are in `log/`, those of traces in `tracing/`."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg
import orjson

from services.audit.entries import EntryView
from services.audit.log.entry import LAST_MS, parse_entry
from services.audit.log.reset import reset_of
from shared import sql
from shared.contracts.base import ORDINALS_PER_EPOCH
from shared.contracts.publisher import NoticeFailed, NoticeSent
from shared.contracts.routing import (
    AssignmentReturned,
    AssignmentSigned,
    CaseDispatched,
    CaseTriaged,
    DeliverySucceeded,
    ReplyProposed,
)
from shared.kafka.records import Partition
from shared.unit_of_work.transaction import Connection

_SQL = sql.load("services.audit")
_NEIGHBOURS = 5000
_OTHERS = ["/services/routing", "/services/publisher"]
_CASE_TYPES = [
    data.contract.type
    for data in (
        *(CaseDispatched, CaseTriaged, AssignmentSigned, AssignmentReturned, ReplyProposed),
        *(DeliverySucceeded, NoticeSent, NoticeFailed),
    )
]
"""What others say of cases alone: a refused request may name anything."""
Tables = Connection | asyncpg.Pool
"""Where a query runs: a connection, or any one of the pool."""


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry of the log with what its proof needs. `erased`: the key of its subject is destroyed."""

    index: int
    entry: bytes
    erased: bool


class NextSubjects(NamedTuple):
    """`seen` subjects up to number `last`, None if there is none; `unbegun` are cases without an intake."""

    seen: int
    last: int | None
    unbegun: list[str]


async def try_lock(connection: Connection, key: int) -> bool:
    """Takes the advisory lock `key` for the session of `connection`, unless another session holds it."""
    return bool(await connection.fetchval(_SQL["try_lock"], key))


async def log_size(tables: Tables) -> int:
    """The number of entries that are committed."""
    size: int = await tables.fetchval(_SQL["log_size"])
    return size


async def entry_of_event(tables: Tables, event_id: str) -> LoggedEntry | None:
    """The first entry of the event with this id (a UUID); None if it is not logged."""
    row = await tables.fetchrow(_SQL["entry_of_event"], event_id)
    return None if row is None else LoggedEntry(*row.values())


async def entries_from(tables: Tables, index: int, limit: int) -> list[EntryView]:
    """At most `limit` entries in log order, from `index` on."""
    return [_entry(row) for row in await tables.fetch(_SQL["entries_from"], index, limit)]


async def newest_entries(tables: Tables, before: int, limit: int) -> list[EntryView]:
    """At most `limit` entries below index `before`, newest first."""
    return [_entry(row) for row in await tables.fetch(_SQL["newest_entries"], before, limit)]


async def entries_of_subject(tables: Tables, subject: str, index: int, limit: int) -> list[EntryView]:
    """At most `limit` entries about `subject` in log order, from `index` on."""
    return [_entry(row) for row in await tables.fetch(_SQL["entries_of_subject"], subject, index, limit)]


class KeptEntry(NamedTuple):
    """The event at index `at` of the log, with what opens its words."""

    at: int
    source: str
    subject: str
    subject_no: int
    key: bytes | None
    ordinal: int
    value: bytes
    sealed: bytes | None


async def first_index_since(tables: Tables, appended_ms: int) -> int:
    """An index below which nothing was appended to Kafka since that moment.

    Found by halving, since time grows with the index; then a page is checked that partitions which were read
    late do not stand before it.
    """
    low, high = 0, await log_size(tables)
    while low < high:
        middle = (low + high) // 2
        if await tables.fetchval(_SQL["appended_at"], middle) < appended_ms:
            low = middle + 1
        else:
            high = middle
    while low and await tables.fetchval(_SQL["any_since"], low - _NEIGHBOURS, low, appended_ms):
        low = max(0, low - _NEIGHBOURS)
    return low


async def kept_entries(tables: Tables, index: int, limit: int) -> list[KeptEntry]:
    """The events among the `limit` entries from `index` on; empty at the log's end."""
    while index < await log_size(tables):
        rows = await tables.fetch(_SQL["kept_entries"], index, index + limit)
        if rows:
            return [KeptEntry(*row) for row in rows]
        index += limit
    return []


async def sequences_of_subjects(
    tables: Tables, source: str, subjects: Collection[str]
) -> dict[str, set[int]]:
    """The sequences, without their epoch, that are logged of a source by subject."""
    found: dict[str, set[int]] = {}
    rows = await tables.fetch(_SQL["sequences_of_subjects"], list(subjects), source)
    for row in rows:
        found.setdefault(row["subject"], set()).add(row["position"] % ORDINALS_PER_EPOCH)
    return found


async def log_cursors(tables: Tables) -> dict[Partition, int]:
    """The next offset of each partition that the log takes."""
    rows = await tables.fetch(_SQL["next_log_offsets"])
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


def _entry(row: asyncpg.Record) -> EntryView:
    return EntryView(
        index=row["index"],
        kind=row["kind"],
        appended=dt.datetime.fromtimestamp(_in_calendar(row["appended_ms"]) / 1000, dt.UTC),
        source=row["source"],
        type=row["type"],
        subject=row["subject"],
        event=None if row["value"] is None else orjson.loads(row["value"]),
        reset=None if row["reset"] is None else reset_of(parse_entry(row["reset"])),
    )


def _in_calendar(milliseconds: int) -> int:
    """Where the producer sets the time it may be any; a zone moves it by up to a day."""
    return min(max(milliseconds, 0), LAST_MS - 86_400_000)


async def newest_subject(tables: Tables) -> int:
    """The number of the subject that the log has come to know last; -1 if there is none."""
    number: int = await tables.fetchval(_SQL["newest_subject"])
    return number


async def next_subjects(tables: Tables, newest: int, limit: int) -> NextSubjects:
    """The next subjects, up to number `newest`, that were not looked at, with the cases without an intake."""
    row = await tables.fetchrow(_SQL["next_subjects"], newest, limit, _OTHERS, _CASE_TYPES)
    assert row is not None  # noqa: S101  (it counts)
    return NextSubjects(row["seen"], row["last"], row["unbegun"] or [])


async def mark_checked(tables: Tables, number: int) -> None:
    """Notes that the subjects up to this number were looked at."""
    await tables.execute(_SQL["mark_checked"], number)


async def begun_since(tables: Tables, after: str, limit: int) -> tuple[str | None, list[str]]:
    """Where to go on among the cases that wait for their intake, None at the end, and those that have it."""
    row = await tables.fetchrow(_SQL["begun_since"], after, limit)
    assert row is not None  # noqa: S101  (it counts)
    return (row["last"] if row["seen"] == limit else None), row["begun"] or []


async def late_beginning(tables: Tables, topic: str) -> dt.datetime | None:
    """When the log was begun, if the beginning of a topic was gone by then; else None."""
    found = await tables.fetchval(_SQL["late_beginning"], topic)
    return None if found is None else dt.datetime.fromtimestamp(found / 1000, dt.UTC)
