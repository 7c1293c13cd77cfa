"""From prepared records to the rows of one append: pure, in memory, decided record by record in order."""

from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

from services.audit.log.entry import VERSION, Members, encode_entry, time_bucket
from services.audit.log.gap_detection import Partition, SequenceGap, missing_before
from services.audit.log.parsing import ERASED, ERASER, EventAttributes, PreparedRecord
from services.audit.log.subjects import Subject

SequenceKey = tuple[int, str, int]
"""A subject's number, a source, and the position in that source's sequence about the subject."""

ENTRY_COLUMNS = (
    "index",
    "kind",
    "appended_ms",
    "subject_no",
    "position",
    "event_id",
    "source",
    "type",
    "entry",
    "value",
    "fault",
)
WORDS_COLUMNS = ("subject_no", "index", "sealed")


@dataclass(slots=True)
class Batch:
    """The rows of one append. `subjects` and `known` are what the tables say of the records' subjects.

    `late` are the partitions whose beginning was gone when the log began.
    """

    first: int
    subjects: dict[str, Subject]
    known: dict[SequenceKey, list[tuple[int, bytes]]]
    late: Set[Partition] = frozenset()
    duplicates: int = 0
    incidents: int = 0
    unparseable: int = 0
    words_refused: int = 0
    sequence_gaps: list[SequenceGap] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    entry_rows: list[tuple[Any, ...]] = field(default_factory=list)
    words_rows: list[tuple[int, int, bytes]] = field(default_factory=list)
    erased: set[int] = field(default_factory=set)
    correlations: set[tuple[str, int]] = field(default_factory=set)

    def add(self, prepared: PreparedRecord) -> None:
        """Decide what the log says about one record."""
        if prepared.attributes is None:
            self._add_unparseable(prepared)
        else:
            self._add_event(prepared, prepared.attributes)

    def live_words(self) -> list[tuple[int, int, bytes]]:
        """The words to be stored: not those of a subject that this very batch erases."""
        return [row for row in self.words_rows if row[0] not in self.erased]

    def _add_event(self, prepared: PreparedRecord, attributes: EventAttributes) -> None:
        subject = self.subjects[attributes.subject]
        value = prepared.record.value or b""
        logged = self.known.setdefault((subject.no, attributes.source, attributes.ordinal), [])
        for _, other in logged:
            if value == other:
                self.duplicates += 1
                return
        index = self.first + len(self.entries)
        members = _members("incident" if logged else "event", prepared)
        members["source"] = attributes.source
        members["type"] = attributes.type
        members["epoch"] = attributes.epoch
        members["sequence"] = attributes.sequence
        pseudonym = subject.pseudonym(attributes.source)
        if pseudonym is not None:
            members["subject"] = pseudonym
        if logged:
            members["first"] = logged[0][0]
            self.incidents += 1
        self._append(prepared, members, subject.no, attributes)
        self._keep_words(index, subject, attributes)
        if attributes.correlation is not None:
            self.correlations.add((attributes.correlation, subject.no))
        if (
            attributes.type == ERASED
            and attributes.source == ERASER
            and not logged
            and subject.key is not None
        ):
            # What comes after it in this batch finds the key destroyed already.
            subject.erase()
            self.erased.add(subject.no)
        logged.append((index, value))
        self._note_gap(index, subject.last.get(attributes.source), prepared, attributes)
        subject.last[attributes.source] = max(attributes.ordinal, subject.last.get(attributes.source, 0))

    def _note_gap(
        self, index: int, last: int | None, prepared: PreparedRecord, attributes: EventAttributes
    ) -> None:
        if last is None and (prepared.record.topic, prepared.record.partition) in self.late:
            return
        if missing := missing_before(attributes.ordinal, last):
            self.sequence_gaps.append(SequenceGap(index, attributes.source, missing))

    def _keep_words(self, index: int, subject: Subject, attributes: EventAttributes) -> None:
        if attributes.words is not None and subject.key is not None:
            self.words_rows.append((subject.no, index, subject.seal(index, attributes.words)))
        if attributes.words_refused:
            self.words_refused += 1

    def _add_unparseable(self, prepared: PreparedRecord) -> None:
        subject = self.subjects[unparseable_subject(prepared)]
        index = self.first + len(self.entries)
        self._append(prepared, _members("unparseable", prepared), subject.no, None)
        opening = prepared.salt + (prepared.record.value or b"")
        self.words_rows.append((subject.no, index, subject.seal(index, opening)))
        self.unparseable += 1

    def _append(
        self, prepared: PreparedRecord, members: Members, subject_no: int, attributes: EventAttributes | None
    ) -> None:
        index = self.first + len(self.entries)
        entry = encode_entry(members)
        self.entries.append(entry)
        start = (index, members["kind"], prepared.record.timestamp_ms, subject_no)
        if attributes is None:
            self.entry_rows.append((*start, None, None, None, None, entry, None, prepared.fault))
        else:
            public = (attributes.ordinal, attributes.event_id, attributes.source, attributes.type)
            self.entry_rows.append((*start, *public, entry, prepared.record.value, None))


def _members(kind: str, prepared: PreparedRecord) -> dict[str, str | int]:
    """What the entry of every record has."""
    record = prepared.record
    return {
        "v": VERSION,
        "kind": kind,
        "time": time_bucket(record.timestamp_ms),
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "commitment": prepared.commitment,
    }


def subject_of(prepared: PreparedRecord) -> str:
    """The subject under whose key the record's words are sealed."""
    return unparseable_subject(prepared) if prepared.attributes is None else prepared.attributes.subject


def unparseable_subject(prepared: PreparedRecord) -> str:
    """Bytes that nobody understands may hold anything about anybody: they get a key of their own."""
    record = prepared.record
    return f"unparseable/{record.topic}/{record.partition}/{record.offset}"
