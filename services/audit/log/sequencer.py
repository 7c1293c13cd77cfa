"""The sequencer: assigns every record its index in the log, exactly once.

One transaction per batch holds entries, words, tiles, cursors and head. Nothing is signed here: what is
committed is signed when it is published. After any error open a new sequencer, which reads the state of the
log from the tables.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import asyncpg

from services.audit.log import queries
from services.audit.log.batch import Batch
from services.audit.log.checkpoint_guard import check_published, check_signed
from services.audit.log.compact_range import CompactRange
from services.audit.log.continuity import Cursor, LogRefused, OffsetGap
from services.audit.log.errors import LogBroken
from services.audit.log.gap_detection import SequenceGap, close_gaps
from services.audit.log.note import Verifier
from services.audit.log.parsing import PreparedRecord
from services.audit.log.reset import NotResettable, Reset
from services.audit.log.subject_cache import SubjectCache
from services.audit.log.subjects import KeyBox
from shared.clock import machine_now
from shared.errors import Stale
from shared.kafka.fingerprint import fingerprint
from shared.kafka.records import Partition, RawRecord
from shared.merkle import HASH_SIZE, MerkleAccumulator, leaf_hashes


@dataclass(frozen=True, slots=True)
class Appended:
    """A committed batch: the entries [first, size), and counts by what became of its records.

    `duplicates` were sent twice by their producer and got no entry. `late` came behind a later event of their
    sequence, and are logged. `sequence_gaps` are those that the batch opened, whether or not it closed them.
    """

    first: int
    size: int
    duplicates: int
    incidents: int
    unparseable: int
    words_refused: int
    late: int = 0
    sequence_gaps: tuple[SequenceGap, ...] = ()


class Sequencer:
    """The only writer of a log. Create it with `open`; use it from one task, on a dedicated connection."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        subjects: SubjectCache,
        *,
        epoch: int,
        edge: CompactRange,
        cursors: dict[Partition, Cursor],
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._epoch = epoch
        self._edge = edge
        self._peaks = edge.accumulator()
        self._cursors = cursors
        self._failed = False

    @classmethod
    async def open(
        cls, connection: asyncpg.Connection, verifier: Verifier, keys: KeyBox, published: bytes | None
    ) -> "Sequencer":
        """Take the log over; the previous writer fails at its next batch.

        `connection` has the service's schema as its search path; `verifier` has the log's key; `published` is
        the newest published checkpoint (LogFiles.checkpoint). Raises LogBroken if the log is behind it or
        differs from it (a restore or fail-over lost entries, and continuing would fork the log), has another
        key, or is damaged; LogRefused while a partition is refused and not resumed.
        """
        await queries.avoid_scans(connection)
        async with connection.transaction():
            head = await queries.take_over(connection)
            if head.vkey is None:
                await queries.begin(connection, verifier.vkey)
            elif head.vkey != verifier.vkey:
                raise LogBroken(f"the log is signed by {head.vkey}, not by {verifier.vkey}")
            await check_signed(connection, verifier, head.edge)
            await check_published(connection, verifier, head.edge, published)
            if refusals := await queries.open_refusals(connection):
                raise LogRefused(refusals)
            return await cls._of(connection, head, keys)

    @classmethod
    async def open_to_resume(cls, connection: asyncpg.Connection) -> "Sequencer":
        """Take over a log that stands, for `reset` alone: in the caller's transaction, without any key.

        Raises LogBroken if the log was never begun.
        """
        await queries.avoid_scans(connection)
        head = await queries.take_over(connection)
        if head.vkey is None:
            raise LogBroken("the log was never begun: start audit first")
        return await cls._of(connection, head, None)

    @classmethod
    async def _of(
        cls, connection: asyncpg.Connection, head: queries.Head, keys: KeyBox | None
    ) -> "Sequencer":
        subjects = SubjectCache(connection, keys, head.subjects)
        cursors = await queries.cursors(connection)
        return cls(connection, subjects, epoch=head.epoch, edge=head.edge, cursors=cursors)

    @property
    def size(self) -> int:
        """How many entries the log has."""
        return self._edge.size

    @property
    def cursors(self) -> Mapping[Partition, Cursor]:
        """Of each partition that was ever read."""
        return self._cursors

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
        self._begin()
        first = self._edge.size
        async with self._connection.transaction():
            await self._lock_head()
            fresh, last = self._not_yet_taken(records)
            moved = self._moved(last)
            cursors = self._cursors | moved
            began_late = {partition for partition, cursor in cursors.items() if cursor.first}
            batch = await self._decide(fresh, began_late)
            edge, peaks = await self._write(batch)
            if moved:
                await queries.advance_cursors(self._connection, moved)
        self._commit(edge, peaks, cursors)
        return Appended(
            first,
            edge.size,
            duplicates=batch.duplicates,
            incidents=batch.incidents,
            unparseable=batch.unparseable,
            words_refused=batch.words_refused,
            late=len(batch.late),
            sequence_gaps=tuple(batch.sequence_gaps),
        )

    async def skip(self, gaps: Iterable[OffsetGap]) -> None:
        """Move the cursors over what the broker deleted before it was logged. Raises like `append`."""
        places = {(gap.topic, gap.partition): gap.end for gap in gaps}
        moved = {one: self._cursors[one]._replace(next=end, last=None) for one, end in places.items()}
        self._begin()
        async with self._connection.transaction():
            await self._lock_head()
            await queries.advance_cursors(self._connection, moved)
        self._commit(self._edge, self._peaks, self._cursors | moved)

    async def reset(self, reset: Reset, *, operator: str, reason: str) -> int:
        """Log that a partition is read from another offset on, and do so; returns the entry's index.

        Closes the partition's refusal, if there is one. Raises NotResettable if the cursor is not at
        `reset.taken` (0 for a partition that was never read), and like `append`.
        """
        partition = (reset.topic, reset.partition)
        if (taken := self.next_offset(*partition) or 0) != reset.taken:
            raise NotResettable(f"{reset.topic}/{reset.partition} is logged up to {taken}, not {reset.taken}")
        self._begin()
        at = machine_now()
        async with self._connection.transaction():
            await self._lock_head()
            batch = Batch(self._edge.size)
            subject_no = await self._subjects.keyless(reset.subject)
            index = batch.add_reset(reset, int(at.timestamp() * 1000), subject_no)
            edge, peaks = await self._write(batch)
            await queries.reset_cursor(self._connection, reset, index)
            await queries.close_refusal(
                self._connection, reset, index, operator=operator, reason=reason, at=at
            )
        first = self._cursors[partition].first if partition in self._cursors else reset.offset
        self._commit(edge, peaks, self._cursors | {partition: Cursor(first, reset.offset)})
        return index

    def _begin(self) -> None:
        if self._failed:
            raise Stale("an append has failed here; open the log again to see where it stands")
        self._failed = True  # until the transaction is known to be committed

    def _commit(self, edge: CompactRange, peaks: MerkleAccumulator, cursors: dict[Partition, Cursor]) -> None:
        self._edge, self._peaks, self._cursors = edge, peaks, cursors
        self._failed = False

    async def _lock_head(self) -> None:
        epoch, size = await queries.lock_head(self._connection)
        if (epoch, size) != (self._epoch, self._edge.size):
            raise Stale(f"another writer has the log: its epoch is {epoch}, ours {self._epoch}")

    def _not_yet_taken(
        self, records: Iterable[PreparedRecord]
    ) -> tuple[list[PreparedRecord], dict[Partition, tuple[int, RawRecord]]]:
        """The records at or beyond the cursors; by partition, the first one's offset and the last one."""
        fresh: list[PreparedRecord] = []
        taken: dict[Partition, tuple[int, RawRecord]] = {}
        for prepared in records:
            record = prepared.record
            partition = (record.topic, record.partition)
            first, last = taken.get(partition, (record.offset, None))
            cursor = self._cursors.get(partition)
            begin = last.offset + 1 if last else cursor.next if cursor else 0
            if record.offset >= begin:
                taken[partition] = first, record
                fresh.append(prepared)
        return fresh, taken

    def _moved(self, taken: Mapping[Partition, tuple[int, RawRecord]]) -> dict[Partition, Cursor]:
        """The cursors behind the records taken."""
        moved = {}
        for partition, (first, last) in taken.items():
            known = self._cursors.get(partition)
            moved[partition] = Cursor(
                first if known is None else known.first, last.offset + 1, fingerprint(last)
            )
        return moved

    async def _decide(self, fresh: Sequence[PreparedRecord], began_late: Set[Partition]) -> Batch:
        created_from = self._subjects.count
        subjects = await self._subjects.get_or_create(prepared.subject for prepared in fresh)
        events = [prepared.attributes for prepared in fresh if prepared.attributes is not None]
        unparseable = {prepared.subject for prepared in fresh if prepared.attributes is None}
        batch = Batch(
            self._edge.size,
            await self._subjects.logged(events, subjects),
            began_late,
            await self._subjects.opened(
                subjects[name] for name in unparseable if subjects[name].no < created_from
            ),
        )
        batch.add_all(fresh, subjects)
        return batch

    async def _write(self, batch: Batch) -> tuple[CompactRange, MerkleAccumulator]:
        """Stores the rows of a batch; the tree after it."""
        if not batch.entries:
            return self._edge, self._peaks
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
        if batch.sequence_gaps or batch.late:
            await self._keep_gaps(batch)
        peaks = await self._check(edge)
        await queries.update_head(connection, edge, self._subjects.count)
        return edge, peaks

    async def _keep_gaps(self, batch: Batch) -> None:
        """Stores the gaps that the batch opened, and takes what came late out of them and of older ones."""
        at = machine_now()
        old = await queries.gaps_of(self._connection, batch.late) if batch.late else []
        opened = [gap._replace(opened_at=at) for gap in batch.sequence_gaps]
        await queries.replace_gaps(self._connection, old, close_gaps([*old, *opened], batch.late))

    async def _check(self, edge: CompactRange) -> MerkleAccumulator:
        """The root again: from the bytes that PostgreSQL stored, hashed by it, without tiles (Yeti, 2022)."""
        stored = await queries.leaf_hashes_from(self._connection, self._edge.size)
        if len(stored) != (edge.size - self._edge.size) * HASH_SIZE:
            raise LogBroken("PostgreSQL has another number of entries than were appended: nothing is signed")
        peaks = self._peaks.extended(stored[i : i + HASH_SIZE] for i in range(0, len(stored), HASH_SIZE))
        if peaks.root() != edge.root():
            raise LogBroken("two ways of computing the root disagree: nothing is signed")
        return peaks
