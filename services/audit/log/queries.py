"""SQL of the log: the tables of writer and publisher. One statement per table and batch."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from services.audit.log.compact_range import CompactRange, FullTile
from services.audit.log.errors import LogBroken
from services.audit.log.gap_detection import Partition
from services.audit.log.parsing import SequenceKey
from shared import sql
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


class Cursor(NamedTuple):
    """Of a partition: the first offset that was ever logged, and the next one to take."""

    first: int
    next: int


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


class SignedTree(NamedTuple):
    """The newest committed tree and its signed note."""

    edge: CompactRange
    note: str


async def avoid_scans(connection: Connection) -> None:
    """Keeps the session's plans on indexes."""
    await connection.execute(_SQL["avoid_scans"])


# ---- head and cursors ----


async def has_begun(tables: Connection | asyncpg.Pool) -> bool:
    """Whether the log was ever opened, and so has a key."""
    return bool(await tables.fetchval(_SQL["log_has_begun"]))


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
    return {(row["topic"], row["partition"]): Cursor(row["first_offset"], row["next_offset"]) for row in rows}


async def advance_cursors(connection: Connection, moved: Mapping[Partition, Cursor]) -> None:
    """Stores cursors; of a known partition only `next` changes. `moved` must not be empty."""
    topics, partitions = zip(*moved, strict=True)
    firsts, nexts = zip(*moved.values(), strict=True)
    await connection.execute(_SQL["advance_log_cursors"], topics, partitions, firsts, nexts)


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


async def checkpoint_at(connection: Connection, size: int) -> str | None:
    """The signed note of this size; None if none was signed."""
    note: str | None = await connection.fetchval(_SQL["log_checkpoint_at"], size)
    return note


async def newest_checkpoint(connection: Connection) -> SignedTree | None:
    """The tree of the head with its note; None before the log was opened for the first time."""
    row = await connection.fetchrow(_SQL["newest_log_checkpoint"])
    return None if row is None else SignedTree(CompactRange(row["size"], tuple(row["edge"])), row["note"])


def _head(row: asyncpg.Record | None) -> asyncpg.Record:
    if row is None:
        raise LogBroken("log_head has lost its row")
    return row
