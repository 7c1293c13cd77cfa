"""The sequencer: assigns every record its index in the log, exactly once, and signs the result.

One transaction per batch holds entries, words, tiles, cursors, checkpoint and head. `append` returns a
signed note only after the commit is acknowledged: otherwise a batch that is rolled back would be a split
view. After any error open a new sequencer, which reads the state of the log from the tables.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import asyncpg

from services.audit.log import queries
from services.audit.log.batch import Batch
from services.audit.log.checkpoint import Checkpoint
from services.audit.log.checkpoint_guard import check_published, check_signed
from services.audit.log.compact_range import CompactRange
from services.audit.log.errors import LogBroken
from services.audit.log.gap_detection import Partition, SequenceGap
from services.audit.log.note import Signer
from services.audit.log.parsing import PreparedRecord
from services.audit.log.queries import Cursor
from services.audit.log.subject_cache import SubjectCache
from services.audit.log.subjects import KeyBox
from shared.errors import Stale
from shared.merkle import HASH_SIZE, MerkleAccumulator, leaf_hashes


@dataclass(frozen=True, slots=True)
class Appended:
    """A committed batch: the entries [first, size), counts by kind, and the signed note of `size`.

    `note` is None if nothing was new. `duplicates` were sent twice by their producer and got no entry.
    """

    first: int
    size: int
    note: str | None
    duplicates: int
    incidents: int
    unparseable: int
    words_refused: int
    sequence_gaps: tuple[SequenceGap, ...] = ()


class Sequencer:
    """The only writer of a log. Create it with `open`; use it from one task, on a dedicated connection."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        signer: Signer,
        subjects: SubjectCache,
        *,
        epoch: int,
        edge: CompactRange,
        cursors: dict[Partition, Cursor],
    ) -> None:
        self._connection = connection
        self._signer = signer
        self._subjects = subjects
        self._epoch = epoch
        self._edge = edge
        self._peaks = edge.accumulator()
        self._cursors = cursors
        self._failed = False

    @classmethod
    async def open(
        cls, connection: asyncpg.Connection, signer: Signer, keys: KeyBox, published: bytes | None
    ) -> "Sequencer":
        """Take the log over; the previous writer fails at its next batch.

        `connection` has the service's schema as its search path; `published` is the newest published
        checkpoint (LogFiles.checkpoint). Raises LogBroken if the log is behind it or differs from it (a
        restore or fail-over lost entries, and continuing would fork the log), has another key, or is
        damaged.
        """
        await queries.avoid_scans(connection)
        async with connection.transaction():
            head = await queries.take_over(connection)
            edge = head.edge
            if head.vkey is None:
                await queries.begin(connection, signer.verifier.vkey)
                note = _checkpoint(signer, edge).sign(signer)
                await queries.insert_checkpoint(connection, edge.size, note)
            elif head.vkey != signer.verifier.vkey:
                raise LogBroken(f"the log is signed by {head.vkey}, not by {signer.verifier.vkey}")
            await check_signed(connection, signer.verifier, _checkpoint(signer, edge))
            await check_published(connection, signer.verifier, edge.size, published)
            cursors = await queries.cursors(connection)
        subjects = SubjectCache(connection, keys, head.subjects)
        return cls(connection, signer, subjects, epoch=head.epoch, edge=edge, cursors=cursors)

    @property
    def size(self) -> int:
        """How many entries the log has."""
        return self._edge.size

    def next_offset(self, topic: str, partition: int) -> int | None:
        """The next offset to read; None for a partition of which nothing is logged."""
        cursor = self._cursors.get((topic, partition))
        return None if cursor is None else cursor.next

    async def append(self, records: Sequence[PreparedRecord]) -> Appended:
        """Log each record that is not logged yet, in the given order (per partition that of its offsets).

        Raises Stale if another writer took over, LogBroken if the two roots disagree, or the driver's error.
        After any of them this sequencer must not be used again, because the outcome of the commit may be
        unknown.
        """
        if self._failed:
            raise Stale("an append has failed here; open the log again to see where it stands")
        self._failed = True  # until this append is known to be committed
        first = self._edge.size
        async with self._connection.transaction():
            await self._lock_head()
            fresh, moved = self._not_yet_taken(records)
            cursors = self._cursors | moved
            late = {partition for partition, cursor in cursors.items() if cursor.first}
            batch = await self._decide(fresh, late)
            edge, peaks, note = self._edge, self._peaks, None
            if batch.entries:
                edge, peaks, note = await self._write(batch)
            if moved:
                await queries.advance_cursors(self._connection, moved)
        self._edge, self._peaks = edge, peaks
        self._cursors = cursors
        self._failed = False
        return Appended(
            first,
            edge.size,
            note,
            duplicates=batch.duplicates,
            incidents=batch.incidents,
            unparseable=batch.unparseable,
            words_refused=batch.words_refused,
            sequence_gaps=tuple(batch.sequence_gaps),
        )

    async def _lock_head(self) -> None:
        epoch, size = await queries.lock_head(self._connection)
        if (epoch, size) != (self._epoch, self._edge.size):
            raise Stale(f"another writer has the log: its epoch is {epoch}, ours {self._epoch}")

    def _not_yet_taken(
        self, records: Iterable[PreparedRecord]
    ) -> tuple[list[PreparedRecord], dict[Partition, Cursor]]:
        """The records at or beyond the cursors, and the cursors after them."""
        fresh: list[PreparedRecord] = []
        moved: dict[Partition, Cursor] = {}
        for prepared in records:
            offset = prepared.record.offset
            partition = (prepared.record.topic, prepared.record.partition)
            cursor = moved.get(partition) or self._cursors.get(partition) or Cursor(offset, 0)
            if offset >= cursor.next:
                moved[partition] = Cursor(cursor.first, offset + 1)
                fresh.append(prepared)
        return fresh, moved

    async def _decide(self, fresh: Sequence[PreparedRecord], late: Set[Partition]) -> Batch:
        subjects = await self._subjects.get_or_create(prepared.subject for prepared in fresh)
        events = [prepared.attributes for prepared in fresh if prepared.attributes is not None]
        batch = Batch(self._edge.size, await self._subjects.logged(events, subjects), late)
        batch.add_all(fresh, subjects)
        return batch

    async def _write(self, batch: Batch) -> tuple[CompactRange, MerkleAccumulator, str]:
        connection = self._connection
        await queries.insert_entries(connection, batch.entry_rows)
        await queries.insert_words(connection, batch.words_rows)
        edge, tiles = self._edge.extend(leaf_hashes(batch.entries))
        if tiles:
            await queries.insert_tiles(connection, tiles)
        if batch.correlations:
            await queries.insert_correlations(connection, sorted(batch.correlations))
        if batch.erased:
            await queries.erase_subjects(connection, batch.erased)
        peaks = await self._check(edge)
        note = _checkpoint(self._signer, edge).sign(self._signer)
        await queries.insert_checkpoint(connection, edge.size, note)
        await queries.update_head(connection, edge, self._subjects.count)
        return edge, peaks, note

    async def _check(self, edge: CompactRange) -> MerkleAccumulator:
        """The root again: from the bytes that PostgreSQL stored, hashed by it, without tiles (Yeti, 2022)."""
        stored = await queries.leaf_hashes_from(self._connection, self._edge.size)
        if len(stored) != (edge.size - self._edge.size) * HASH_SIZE:
            raise LogBroken("PostgreSQL has another number of entries than were appended: nothing is signed")
        peaks = self._peaks.extended(stored[i : i + HASH_SIZE] for i in range(0, len(stored), HASH_SIZE))
        if peaks.root() != edge.root():
            raise LogBroken("two ways of computing the root disagree: nothing is signed")
        return peaks


def _checkpoint(signer: Signer, edge: CompactRange) -> Checkpoint:
    return Checkpoint(signer.name, edge.size, edge.root())
