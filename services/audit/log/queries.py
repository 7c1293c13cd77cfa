"""SQL of the log: the tables of writer and publisher. One statement per table and batch."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from services.audit.log.compact_range import CompactRange, FullTile
from services.audit.log.continuity import Cursor, Refusal
from services.audit.log.errors import LogBroken
from services.audit.log.gap_detection import SequenceGap
from services.audit.log.parsing import SequenceKey
from services.audit.log.reset import Reset
from shared import sql
from shared.kafka.fingerprint import Fingerprint
from shared.kafka.records import Partition
from shared.unit_of_work.transaction import Connection

_SQL = sql.load("services.audit.log")
_SUBJECT_COLUMNS = ("no", "subject", "key")
_WORDS_COLUMNS = ("subject_no", "index", "sealed")
_ENTRY_COLUMNS = (
    *("index", "kind", "appended_ms", "subject_no", "position"),
    *("event_id", "source", "type", "entry", "value", "fault"),
)

EntryRow = tuple[Any, ...]
"""In the order of `_ENTRY_COLUMNS`: index, kind, broker's time, subject's number, ordinal, event id, ... ."""


class Head(NamedTuple):
    """The state of the log: its writer's epoch, its tree, how many subjects it has, and its public key."""

    epoch: int
    edge: CompactRange
    subjects: int
    vkey: str | None


class SubjectRow(NamedTuple):
    """A subject's number, name and wrapped key; without key it is erased."""

    no: int
    subject: str
    key: bytes | None


class LastOrdinal(NamedTuple):
    """The highest ordinal that is logged of what `source` emits about a subject."""

    subject_no: int
    source: str
    ordinal: int


class Tree(NamedTuple):
    """The newest committed tree, and the public key of its log; None before it was opened."""

    edge: CompactRange
    vkey: str | None


async def avoid_scans(connection: Connection) -> None:
    """Keeps the session's plans on indexes."""
    await connection.execute(_SQL["avoid_scans"])


# ---- head and cursors ----


async def has_begun(tables: Connection | asyncpg.Pool) -> bool:
    """Whether the log was ever opened, and so has a key."""
    return bool(await tables.fetchval(_SQL["log_has_begun"]))


async def head(connection: Connection) -> Tree:
    """The newest committed tree. Raises LogBroken without a head."""
    row = _head(await connection.fetchrow(_SQL["log_head"]))
    return Tree(CompactRange(row["size"], tuple(row["edge"])), row["vkey"])


async def take_over(connection: Connection) -> Head:
    """Raises the epoch, which fences the previous writer. Raises LogBroken without a head."""
    row = _head(await connection.fetchrow(_SQL["take_log_over"]))
    return Head(row["epoch"], CompactRange(row["size"], tuple(row["edge"])), row["subjects"], row["vkey"])


async def begin(connection: Connection, vkey: str) -> None:
    """Stores the public key of a new log."""
    await connection.execute(_SQL["begin_log"], vkey)


async def lock_head(connection: Connection) -> tuple[int, int]:
    """Locks the head until the end of the transaction: its epoch and size. Raises LogBroken without one."""
    row = _head(await connection.fetchrow(_SQL["lock_log_head"]))
    return row["epoch"], row["size"]


async def update_head(connection: Connection, edge: CompactRange, subjects: int) -> None:
    """Stores the tree and the number of subjects after an append."""
    await connection.execute(_SQL["update_log_head"], edge.size, list(edge.levels), subjects)


async def cursors(connection: Connection) -> dict[Partition, Cursor]:
    """The cursor of each partition that was ever read."""
    rows = await connection.fetch(_SQL["log_cursors"])
    return {(row["topic"], row["partition"]): _cursor(row) for row in rows}


async def advance_cursors(connection: Connection, moved: Mapping[Partition, Cursor]) -> None:
    """Stores cursors; of a known partition `first` stays as it is. `moved` must not be empty."""
    rows = [
        (*partition, cursor.first, cursor.next, *_fingerprint_columns(cursor.last))
        for partition, cursor in moved.items()
    ]
    await connection.execute(_SQL["advance_log_cursors"], *zip(*rows, strict=True))


async def reset_cursor(connection: Connection, reset: Reset, entry_index: int) -> None:
    """Moves a cursor to where the reset in entry `entry_index`, which is stored, says."""
    await connection.execute(
        _SQL["reset_log_cursor"], reset.topic, reset.partition, reset.offset, entry_index
    )


# ---- refusals ----


async def keep_refusals(
    tables: Connection | asyncpg.Pool, refusals: Sequence[Refusal], at: dt.datetime
) -> None:
    """Stores why the log stands; of a partition that is refused already the first reason stays."""
    await tables.execute(_SQL["keep_log_refusals"], *zip(*refusals, strict=True), at)


async def open_refusals(tables: Connection | asyncpg.Pool) -> list[Refusal]:
    """Why the log stands: the partitions that nobody has resumed yet."""
    return [Refusal(*row.values()) for row in await tables.fetch(_SQL["open_log_refusals"])]


async def close_refusal(
    connection: Connection, reset: Reset, entry_index: int, *, operator: str, reason: str, at: dt.datetime
) -> None:
    """Notes on the open refusal of a partition, if there is one, which entry resumed it, who and why."""
    await connection.execute(
        _SQL["close_log_refusal"],
        *(reset.topic, reset.partition, entry_index, reset.offset, operator, reason, at),
    )


# ---- gaps ----


async def gaps_of(connection: Connection, keys: Iterable[SequenceKey]) -> list[SequenceGap]:
    """The open gaps of the sources and subjects of these keys. `keys` must not be empty."""
    numbers, sources, _ = zip(*keys, strict=True)
    rows = await connection.fetch(_SQL["log_gaps_of"], numbers, sources)
    return [SequenceGap(*row.values()) for row in rows]


async def replace_gaps(
    connection: Connection, old: Sequence[SequenceGap], new: Sequence[SequenceGap]
) -> None:
    """Deletes the `old` gaps and stores the `new` ones."""
    if old:
        keys = [(gap.subject_no, gap.source, gap.first) for gap in old]
        await connection.execute(_SQL["delete_log_gaps"], *zip(*keys, strict=True))
    if new:
        await connection.execute(_SQL["insert_log_gaps"], *zip(*new, strict=True))


async def report_gaps(
    tables: Connection | asyncpg.Pool, opened_before: dt.datetime, limit: int
) -> list[tuple[str, SequenceGap]]:
    """Marks gaps that have been open since `opened_before` as reported; subject and gap of each."""
    return _named(await tables.fetch(_SQL["report_log_gaps"], opened_before, limit))


async def list_gaps(
    tables: Connection | asyncpg.Pool, limit: int, *, accepted: bool = False
) -> list[tuple[str, SequenceGap]]:
    """Subject and gap of at most `limit` gaps, oldest entry first; `accepted`: also those given up on."""
    return _named(await tables.fetch(_SQL["list_log_gaps"], accepted, limit))


async def accept_gaps(tables: Connection | asyncpg.Pool, subject: str, statement: str) -> int:
    """Notes that what is missing of a subject is given up on, and why; returns how many gaps that were."""
    return len(await tables.fetch(_SQL["accept_log_gaps"], subject, statement))


def _named(rows: Iterable[asyncpg.Record]) -> list[tuple[str, SequenceGap]]:
    return [(subject, SequenceGap(*gap)) for *gap, subject in (row.values() for row in rows)]


async def missing_events(tables: Connection | asyncpg.Pool, opened_before: dt.datetime) -> int:
    """How many events are missing in the gaps that have been open since `opened_before`.

    Those of 10,000 gaps, if there are more.
    """
    missing: int = await tables.fetchval(_SQL["count_log_gaps"], opened_before)
    return missing


# ---- subjects ----


async def subjects(connection: Connection, names: Sequence[str]) -> list[SubjectRow]:
    """Those of `names` that are known."""
    return [SubjectRow(*row.values()) for row in await connection.fetch(_SQL["log_subjects"], names)]


async def keyed_subjects(connection: Connection) -> list[SubjectRow]:
    """All that are not erased: for a restore, which looks for pseudonyms."""
    return [SubjectRow(*row.values()) for row in await connection.fetch(_SQL["keyed_subjects"])]


async def last_ordinals(connection: Connection, numbers: Sequence[int]) -> list[LastOrdinal]:
    """Of the subjects with these numbers, by source."""
    return [LastOrdinal(*row.values()) for row in await connection.fetch(_SQL["last_positions"], numbers)]


async def insert_subjects(connection: Connection, rows: Sequence[SubjectRow]) -> None:
    """New subjects."""
    await connection.copy_records_to_table("log_subject", records=rows, columns=_SUBJECT_COLUMNS)


async def erase_subjects(connection: Connection, numbers: Collection[int]) -> None:
    """Destroys keys, then deletes words: a trigger refuses the other order."""
    await connection.execute(_SQL["destroy_log_keys"], list(numbers))
    await connection.execute(_SQL["delete_log_words"], list(numbers))


async def insert_correlations(connection: Connection, rows: Iterable[tuple[str, int]]) -> None:
    """Which subjects have events of which traces. `rows` must not be empty."""
    await connection.execute(_SQL["insert_log_correlations"], *zip(*rows, strict=True))


# ---- entries, tree, checkpoints ----


async def entries_at(
    connection: Connection, keys: Sequence[SequenceKey]
) -> dict[SequenceKey, list[tuple[int, bytes]]]:
    """Index and value of every entry that is logged under `keys`. `keys` must not be empty."""
    known: dict[SequenceKey, list[tuple[int, bytes]]] = {}
    for row in await connection.fetch(_SQL["entries_at_positions"], *zip(*keys, strict=True)):
        key = (row["subject_no"], row["source"], row["position"])
        known.setdefault(key, []).append((row["index"], row["value"]))
    return known


async def insert_entries(connection: Connection, rows: Sequence[EntryRow]) -> None:
    """Appends entries."""
    await connection.copy_records_to_table("log_entry", records=rows, columns=_ENTRY_COLUMNS)


async def insert_words(connection: Connection, rows: Sequence[tuple[int, int, bytes]]) -> None:
    """Sealed words: subject's number, index of the entry, ciphertext."""
    await connection.copy_records_to_table("log_words", records=rows, columns=_WORDS_COLUMNS)


async def words_of(connection: Connection, numbers: Sequence[int]) -> list[tuple[int, int, bytes]]:
    """Sealed words of the subjects with these numbers: subject's number, index of the entry, ciphertext."""
    return [tuple(row.values()) for row in await connection.fetch(_SQL["words_of_subjects"], numbers)]


async def entries(connection: Connection, start: int, end: int) -> list[bytes]:
    """The public entries [start, end) in log order."""
    return [row["entry"] for row in await connection.fetch(_SQL["log_entries"], start, end)]


async def leaf_hashes_from(connection: Connection, index: int) -> bytes:
    """The leaf hashes of all entries from `index` on, one after the other, computed by PostgreSQL."""
    hashes: bytes = await connection.fetchval(_SQL["leaf_hashes_from"], index)
    return hashes


async def insert_tiles(connection: Connection, tiles: Sequence[FullTile]) -> None:
    """Tiles that an append made full."""
    await connection.execute(
        _SQL["insert_log_tiles"],
        [name.level for name, _ in tiles],
        [name.number for name, _ in tiles],
        [data for _, data in tiles],
    )


async def full_tiles(connection: Connection, level: int, start: int, end: int) -> list[tuple[int, bytes]]:
    """Number and hashes of the full tiles [start, end) of a level."""
    rows = await connection.fetch(_SQL["log_tiles"], level, start, end)
    return [(row["number"], row["hashes"]) for row in rows]


async def insert_checkpoint(connection: Connection, size: int, note: str) -> None:
    """Stores a signed checkpoint."""
    await connection.execute(_SQL["insert_log_checkpoint"], size, note)


async def newest_checkpoint(connection: Connection) -> str | None:
    """The signed note with the largest size; None before the first."""
    note: str | None = await connection.fetchval(_SQL["newest_log_checkpoint"])
    return note


async def thin_checkpoints(connection: Connection, size: int, limit: int) -> None:
    """Deletes at most `limit` of the checkpoints below `size`, oldest first."""
    await connection.execute(_SQL["thin_log_checkpoints"], size, limit)


def _cursor(row: asyncpg.Record) -> Cursor:
    last = None
    if row["last_offset"] is not None:
        last = Fingerprint(row["last_offset"], row["last_ms"], row["last_hash"])
    return Cursor(row["first_offset"], row["next_offset"], last)


def _fingerprint_columns(last: Fingerprint | None) -> tuple[int | None, int | None, bytes | None]:
    return (None, None, None) if last is None else (last.offset, last.appended_ms, last.digest)


def _head(row: asyncpg.Record | None) -> asyncpg.Record:
    if row is None:
        raise LogBroken("log_head has lost its row")
    return row
