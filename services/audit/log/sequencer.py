"""The writer: gives every record its place in the log, exactly once, and signs what it has done.

One transaction per batch holds entries, words, tiles, cursors, checkpoint and head. Nothing that is
signed leaves `append` before the commit is acknowledged: else a batch that is rolled back would be a
split view. After any error the sequencer is finished; open a new one, which reads where the log stands.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import asyncpg

from services.audit.log.batch import ENTRY_COLUMNS, WORDS_COLUMNS, Batch, subject_of
from services.audit.log.checkpoint import Checkpoint
from services.audit.log.checkpoint_guard import check_published, check_signed
from services.audit.log.compact_range import CompactRange
from services.audit.log.errors import LogBroken
from services.audit.log.gap_detection import Partition, SequenceGap
from services.audit.log.note import Signer
from services.audit.log.parsing import PreparedRecord
from services.audit.log.subject_cache import SubjectCache
from services.audit.log.subjects import KeyBox
from services.audit.queries import QUERIES
from shared.errors import Stale
from shared.merkle import HASH_SIZE, MerkleAccumulator, leaf_hashes

# Thousands of keys are looked up at a time in tables that grow from empty: a plan that was made while
# they were small must not scan them once they are not.
_PLANS = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"


@dataclass(frozen=True, slots=True)
class Appended:
    """A committed batch: the entries [first, size), what they are, and the signed note of `size`.

    `note` is None if nothing was new. `duplicates` were sent a second time by their producer and left out.
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
    """The only writer of a log. Make it with `open`; use it from one task, on a connection of its own."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        signer: Signer,
        subjects: SubjectCache,
        *,
        epoch: int,
        edge: CompactRange,
        begins: dict[Partition, int],
        cursors: dict[Partition, int],
    ) -> None:
        self._connection = connection
        self._signer = signer
        self._subjects = subjects
        self._epoch = epoch
        self._edge = edge
        self._peaks = edge.accumulator()
        self._begins = begins
        self._cursors = cursors
        self._failed = False

    @classmethod
    async def open(
        cls, connection: asyncpg.Connection, signer: Signer, keys: KeyBox, published: bytes | None
    ) -> "Sequencer":
        """Take the log over: whoever wrote before fails at its next batch.

        `connection` has the service's schema as its search path; `published` is the checkpoint that the
        world has seen last (LogFiles.checkpoint). Raises LogBroken if the log is behind it or differs from
        it (a restore or fail-over lost entries: going on would be a fork), is another key's, or is damaged.
        """
        await connection.execute(_PLANS)
        async with connection.transaction():
            head = _the_row(await connection.fetchrow(QUERIES["take_log_over"]))
            edge = CompactRange(head["size"], tuple(head["edge"]))
            if head["vkey"] is None:
                await connection.execute(QUERIES["begin_log"], signer.verifier.vkey)
                note = _checkpoint(signer, edge).sign(signer)
                await connection.execute(QUERIES["insert_log_checkpoint"], edge.size, note)
            elif head["vkey"] != signer.verifier.vkey:
                raise LogBroken(f"the log is signed by {head['vkey']}, not by {signer.verifier.vkey}")
            await check_signed(connection, signer.verifier, _checkpoint(signer, edge))
            await check_published(connection, signer.verifier, edge.size, published)
            rows = await connection.fetch(QUERIES["log_cursors"])
        return cls(
            connection,
            signer,
            SubjectCache(connection, keys, head["subjects"]),
            epoch=head["epoch"],
            edge=edge,
            begins={(row["topic"], row["partition"]): row["first_offset"] for row in rows},
            cursors={(row["topic"], row["partition"]): row["next_offset"] for row in rows},
        )

    @property
    def size(self) -> int:
        """How many entries the log has."""
        return self._edge.size

    def next_offset(self, topic: str, partition: int) -> int | None:
        """Where to go on reading; None for a partition of which nothing is logged."""
        return self._cursors.get((topic, partition))

    async def append(self, records: Sequence[PreparedRecord]) -> Appended:
        """Log each record that is not logged yet, in the order given (per partition that of its offsets).

        Raises Stale if another writer took over, LogBroken if what would be signed does not add up, or
        the driver's error. After any of them this sequencer must not be used again, because the outcome
        of the commit may be unknown.
        """
        if self._failed:
            raise Stale("an append has failed here; open the log again to see where it stands")
        self._failed = True  # until this one is known to be committed
        first = self._edge.size
        async with self._connection.transaction():
            await self._lock_head()
            fresh, cursors = self._not_yet_taken(records)
            begins = self._begins_with(fresh)
            batch = await self._decide(fresh, {place for place, offset in begins.items() if offset})
            edge, peaks, note = self._edge, self._peaks, None
            if batch.entries:
                edge, peaks, note = await self._write(batch)
            await self._advance(begins, cursors)
        self._edge, self._peaks = edge, peaks
        self._begins = begins
        self._cursors.update(cursors)
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
        head = _the_row(await self._connection.fetchrow(QUERIES["lock_log_head"]))
        if (head["epoch"], head["size"]) != (self._epoch, self._edge.size):
            raise Stale(f"another writer has the log: its epoch is {head['epoch']}, ours {self._epoch}")

    def _not_yet_taken(
        self, records: Iterable[PreparedRecord]
    ) -> tuple[list[PreparedRecord], dict[Partition, int]]:
        fresh: list[PreparedRecord] = []
        cursors: dict[Partition, int] = {}
        for prepared in records:
            record = prepared.record
            partition = (record.topic, record.partition)
            if record.offset >= cursors.get(partition, self._cursors.get(partition, 0)):
                cursors[partition] = record.offset + 1
                fresh.append(prepared)
        return fresh, cursors

    def _begins_with(self, fresh: Iterable[PreparedRecord]) -> dict[Partition, int]:
        """Where each partition begins, with those that are seen for the first time."""
        begins = dict(self._begins)
        for prepared in fresh:
            begins.setdefault((prepared.record.topic, prepared.record.partition), prepared.record.offset)
        return begins

    async def _decide(self, fresh: Sequence[PreparedRecord], late: Set[Partition]) -> Batch:
        subjects = await self._subjects.get_or_create(subject_of(prepared) for prepared in fresh)
        events = [prepared.attributes for prepared in fresh if prepared.attributes is not None]
        batch = Batch(self._edge.size, subjects, await self._subjects.logged(events, subjects), late)
        for prepared in fresh:
            batch.add(prepared)
        return batch

    async def _write(self, batch: Batch) -> tuple[CompactRange, MerkleAccumulator, str]:
        connection = self._connection
        copy = connection.copy_records_to_table
        await copy("log_entry", records=batch.entry_rows, columns=ENTRY_COLUMNS)
        await copy("log_words", records=batch.live_words(), columns=WORDS_COLUMNS)
        edge, tiles = self._edge.extend(leaf_hashes(batch.entries))
        if tiles:
            names = [name for name, _ in tiles]
            await connection.execute(
                QUERIES["insert_log_tiles"],
                [name.level for name in names],
                [name.number for name in names],
                [data for _, data in tiles],
            )
        if batch.correlations:
            await connection.execute(
                QUERIES["insert_log_correlations"], *zip(*sorted(batch.correlations), strict=True)
            )
        if batch.erased:
            await connection.execute(QUERIES["destroy_log_keys"], list(batch.erased))
            await connection.execute(QUERIES["delete_log_words"], list(batch.erased))
        peaks = await self._check(edge)
        checkpoint = _checkpoint(self._signer, edge)
        note = checkpoint.sign(self._signer)
        await connection.execute(QUERIES["insert_log_checkpoint"], edge.size, note)
        await connection.execute(
            QUERIES["update_log_head"], edge.size, list(edge.levels), self._subjects.count
        )
        return edge, peaks, note

    async def _check(self, edge: CompactRange) -> MerkleAccumulator:
        """The root again: from the bytes that PostgreSQL stored, hashed by it, without tiles (Yeti, 2022)."""
        stored = await self._connection.fetchval(QUERIES["leaf_hashes_from"], self._edge.size)
        if len(stored) != (edge.size - self._edge.size) * HASH_SIZE:
            raise LogBroken("PostgreSQL has another number of entries than were appended: nothing is signed")
        peaks = self._peaks.extended(stored[i : i + HASH_SIZE] for i in range(0, len(stored), HASH_SIZE))
        if peaks.root() != edge.root():
            raise LogBroken("two ways of computing the root disagree: nothing is signed")
        return peaks

    async def _advance(self, begins: dict[Partition, int], cursors: dict[Partition, int]) -> None:
        if cursors:
            topics, partitions = zip(*cursors, strict=True)
            firsts = [begins[place] for place in cursors]
            await self._connection.execute(
                QUERIES["advance_log_cursors"], topics, partitions, firsts, list(cursors.values())
            )


def _checkpoint(signer: Signer, edge: CompactRange) -> Checkpoint:
    return Checkpoint(signer.name, edge.size, edge.root())


def _the_row(head: asyncpg.Record | None) -> asyncpg.Record:
    if head is None:
        raise LogBroken("log_head has lost its row")
    return head
