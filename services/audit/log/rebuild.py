"""Puts back the entries that restored tables have lost and the published files still have.

The files say which entries the log had, byte for byte, and a checkpoint with them was signed and published:
the log must continue from there. Kafka still has the records behind them, found by topic, partition and
offset and believed only if they have the entry's commitment. What was logged but never published is logged
again by the writer, from the cursors that this leaves.

Keys of subjects that were new after the backup are lost. They get new ones, so later entries about such a
subject carry another pseudonym. The salt of an unparseable record is lost too, so it cannot be opened again.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from services.audit.log import queries
from services.audit.log.checkpoint import Checkpoint, open_checkpoint
from services.audit.log.compact_range import CompactRange
from services.audit.log.continuity import Cursor
from services.audit.log.entry import parse_entry, pseudonym
from services.audit.log.errors import LogBroken
from services.audit.log.files import LogFiles
from services.audit.log.note import Signer
from services.audit.log.parsing import ERASED, ERASER, PreparedRecord, prepare
from services.audit.log.queries import EntryRow
from services.audit.log.reset import Reset, reset_of
from services.audit.log.source import Folder, read_tile
from services.audit.log.subject_cache import SubjectCache
from services.audit.log.subjects import KeyBox, Subject
from services.audit.log.tiles import TILE_WIDTH, TileName, split_bundle
from services.audit.log.verify import verify
from shared.kafka.client import Reader, read_until
from shared.kafka.records import Partition, RawRecord
from shared.kafka_access import KafkaAccess
from shared.merkle import leaf_hashes
from shared.restore.notes import ERASED as ERASED_NOTE
from shared.restore.notes import keep_notes

_STEP = 16 * TILE_WIDTH
Place = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass(slots=True)
class Rebuilt:
    """Entries put back; `without_record` of them are no longer on their topics. `erased` are the subjects
    whose keys were destroyed again."""

    entries: int = 0
    without_record: int = 0
    erased: set[str] = field(default_factory=set)


async def rebuild(
    connection: asyncpg.Connection, signer: Signer, keys: KeyBox, folder: Path, access: KafkaAccess
) -> Rebuilt:
    """Brings the tables to the published checkpoint, in one transaction; nothing if they are not behind it.

    Raises LogBroken if the published files are damaged or are not those of this log, and KafkaError.
    """
    note = LogFiles(folder).checkpoint()
    if note is None:
        return Rebuilt()
    published = open_checkpoint(note, signer.verifier)
    async with connection.transaction():
        head = await queries.take_over(connection)
        if head.vkey is None:
            await queries.begin(connection, signer.verifier.vkey)
        elif head.vkey != signer.verifier.vkey:
            raise LogBroken(f"the log is signed by {head.vkey}, not by {signer.verifier.vkey}")
        if head.edge.size >= published.size:
            return Rebuilt()
        report = await asyncio.to_thread(verify, folder, signer.verifier.vkey)
        if report.failure is not None:
            raise LogBroken(f"the published log: {report.failure.place}: {report.failure.reason}")
        work = _Rebuilding(connection, keys, SubjectCache(connection, keys, head.subjects), head.edge)
        for start in range(head.edge.size, published.size, _STEP):
            entries = _published(folder, start, min(start + _STEP, published.size), published)
            await work.put_back(entries, access)
        await work.finish(published, note.decode())
    return work.result


class _Rebuilding:
    """The tables while they grow to the published size."""

    def __init__(
        self, connection: asyncpg.Connection, keys: KeyBox, subjects: SubjectCache, edge: CompactRange
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._subjects = subjects
        self._edge = edge
        self._next: dict[Partition, int] = {}
        self.result = Rebuilt()

    async def put_back(self, entries: Sequence[bytes], access: KafkaAccess) -> None:
        members = [parse_entry(entry) for entry in entries]
        places = [place for one in members if (place := _place(one)) is not None]
        records = await _fetch(access, places)
        found = [_record_of(one, records) for one in members]
        names = [_subject_of(one, prepared) for one, prepared in zip(members, found, strict=True)]
        subjects = await self._subjects.get_or_create(names)
        rows: list[EntryRow] = []
        words: list[tuple[int, int, bytes]] = []
        correlations: set[tuple[str, int]] = set()
        for number, (one, prepared, name) in enumerate(zip(members, found, names, strict=True)):
            index, subject = self._edge.size + number, subjects[name]
            rows.append(_row(index, entries[number], one, prepared, subject.no))
            attributes = prepared.attributes if prepared is not None else None
            if attributes is None:
                self.result.without_record += 1
                continue
            if attributes.words is not None and subject.key is not None:
                words.append((subject.no, index, subject.seal(index, attributes.words)))
            if attributes.correlation is not None:
                correlations.add((attributes.correlation, subject.no))
        await queries.insert_entries(self._connection, rows)
        await queries.insert_words(self._connection, words)
        if correlations:
            await queries.insert_correlations(self._connection, sorted(correlations))
        await self._move_cursors(members)
        await self._erase(members, found, subjects)
        self._edge, tiles = self._edge.extend(leaf_hashes(list(entries)))
        if tiles:
            await queries.insert_tiles(self._connection, tiles)
        self.result.entries += len(entries)

    async def _move_cursors(self, members: Sequence[Mapping[str, Any]]) -> None:
        """As the log moved them: behind each record, and where a `reset` says."""
        for number, one in enumerate(members):
            if (place := _place(one)) is not None:
                topic, partition, offset = place
                self._next[topic, partition] = offset + 1
            elif (reset := _reset(one)) is not None:
                at = (reset.topic, reset.partition)
                await queries.advance_cursors(self._connection, {at: Cursor(0, reset.taken)})
                await queries.reset_cursor(self._connection, reset, self._edge.size + number)
                self._next[at] = reset.offset

    async def finish(self, published: Checkpoint, note: str) -> None:
        if self._edge.root() != published.root:
            raise LogBroken("the restored tables are not the beginning of the published log")
        moved = {partition: Cursor(0, offset) for partition, offset in self._next.items()}
        if moved:
            await queries.advance_cursors(self._connection, moved)
        await queries.insert_checkpoint(self._connection, published.size, note)
        await queries.update_head(self._connection, self._edge, self._subjects.count)
        await keep_notes(self._connection, ERASED_NOTE, dict.fromkeys(sorted(self.result.erased), True))

    async def _erase(
        self,
        members: Sequence[Mapping[str, Any]],
        found: Sequence[PreparedRecord | None],
        subjects: Mapping[str, Subject],
    ) -> None:
        """Destroys the keys of what these entries say was erased, by pseudonym where the record is gone."""
        erased: dict[str, Subject] = {}
        unnamed: set[str] = set()
        for one, prepared in zip(members, found, strict=True):
            if (one.get("kind"), one.get("type"), one.get("source")) != ("event", ERASED, ERASER):
                continue
            if prepared is not None and prepared.attributes is not None:
                erased[prepared.subject] = subjects[prepared.subject]
            elif "subject" in one:
                unnamed.add(one["subject"])
        if unnamed:
            for row in await queries.keyed_subjects(self._connection):
                key = None if row.key is None else self._keys.unwrap(row.subject, row.key)
                if key is not None and pseudonym(key, ERASER) in unnamed:
                    erased |= await self._subjects.get_or_create([row.subject])
        live = {name: subject for name, subject in erased.items() if subject.key is not None}
        for subject in live.values():
            subject.erase()
        if live:
            await queries.erase_subjects(self._connection, [subject.no for subject in live.values()])
        self.result.erased |= live.keys()


def _published(folder: Path, start: int, end: int, published: Checkpoint) -> list[bytes]:
    """The published entries [start, end)."""
    entries: list[bytes] = []
    for number in range(start // TILE_WIDTH, -(-end // TILE_WIDTH)):
        width = min(TILE_WIDTH, published.size - number * TILE_WIDTH)
        name = TileName("entries", number, width)
        entries += split_bundle(read_tile(Folder(folder), name), width)
    skipped = start % TILE_WIDTH
    return entries[skipped : skipped + end - start]


def _place(members: Mapping[str, Any]) -> Place | None:
    """Where the entry's record is; None for an entry that is about none."""
    if not {"topic", "partition", "offset", "commitment"} <= members.keys():
        return None
    return members["topic"], members["partition"], members["offset"]


def _record_of(members: Mapping[str, Any], records: Mapping[Place, RawRecord]) -> PreparedRecord | None:
    """The record behind an entry, if the topic still has it."""
    place = _place(members)
    record = records.get(place) if place is not None else None
    if record is None:
        return None
    (prepared,) = prepare([record])
    # A record that cannot be parsed was committed with a salt that is lost.
    if prepared.attributes is None or prepared.commitment != members["commitment"]:
        return None
    return prepared


def _reset(members: Mapping[str, Any]) -> Reset | None:
    """What an entry of the kind `reset` says; None for every other entry."""
    return reset_of(dict(members)) if members.get("kind") == "reset" else None


def _subject_of(members: Mapping[str, Any], prepared: PreparedRecord | None) -> str:
    if prepared is not None:
        return prepared.subject
    if (reset := _reset(members)) is not None:
        return reset.subject
    place = _place(members)
    return "log" if place is None else "unparseable/{}/{}/{}".format(*place)


def _row(
    index: int, entry: bytes, members: Mapping[str, Any], prepared: PreparedRecord | None, subject_no: int
) -> EntryRow:
    attributes = prepared.attributes if prepared is not None else None
    if prepared is None or attributes is None:
        # Without its record it is to readers inside audit what an unparseable one is.
        kind = members["kind"] if _place(members) is None else "unparseable"
        fault = None if kind != "unparseable" else "the record was lost in a restore"
        return (index, kind, 0, subject_no, None, None, None, None, entry, None, fault)
    return (
        *(index, members["kind"], prepared.record.timestamp_ms, subject_no),
        *(attributes.ordinal, attributes.event_id, attributes.source, attributes.type),
        *(entry, prepared.record.value, None),
    )


async def _fetch(access: KafkaAccess, places: Iterable[Place]) -> dict[Place, RawRecord]:
    """The records that still are at these places, read per partition from the first to the last."""
    wanted = set(places)
    if not wanted:
        return {}
    firsts: dict[Partition, int] = {}
    ends: dict[Partition, int] = {}
    for topic, partition, offset in wanted:
        at = (topic, partition)
        firsts[at] = min(firsts.get(at, offset), offset)
        ends[at] = max(ends.get(at, 0), offset + 1)
    reader = Reader(access, "civicloom-restore", sorted({topic for topic, _ in firsts}))
    await reader.start({})
    found: dict[Place, RawRecord] = {}
    try:
        there = await reader.ends()
        reader.seek({at: firsts.get(at, end) for at, end in there.items()})
        upto = {at: min(end, there[at]) for at, end in ends.items() if at in there}
        async for records in read_until(reader, upto):
            for record in records:
                place = (record.topic, record.partition, record.offset)
                if place in wanted:
                    found[place] = record
    finally:
        await reader.stop()
    return found
