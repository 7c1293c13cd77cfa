"""From prepared records to the rows of one append: pure, decided record by record in log order."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from services.audit.log.entry import VERSION, Members, encode_entry, time_bucket
from services.audit.log.gap_detection import SequenceGap, sequence_gap
from services.audit.log.parsing import ERASED, ERASER, EventAttributes, PreparedRecord, SequenceKey
from services.audit.log.reset import Reset
from services.audit.log.subjects import Subject
from shared.kafka.records import Partition

Known = dict[SequenceKey, list[tuple[int, bytes]]]
"""Index and value of every entry under a key."""


@dataclass(slots=True)
class Batch:
    """The rows of one append, the counts of what became of its records, and the gaps before them.

    `first` is the index of its first entry, `known` what the tables already hold under the records' keys,
    `began_late` the partitions whose beginning was gone when the log began, `opened`, by subject number,
    which bytes are sealed already of unparseable records. `late` are the events that came behind a later one
    of their sequence, and were never seen before. `erased` are subjects' numbers.
    """

    first: int
    known: Known = field(default_factory=dict)
    began_late: Set[Partition] = frozenset()
    opened: Mapping[int, Set[bytes]] = field(default_factory=dict)
    late: list[SequenceKey] = field(default_factory=list)
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

    def add_all(self, records: Iterable[PreparedRecord], subjects: Mapping[str, Subject]) -> None:
        """Adds records in log order; `subjects` has the subject of each by name."""
        for prepared in records:
            self.add(prepared, subjects[prepared.subject])

    def add(self, prepared: PreparedRecord, subject: Subject) -> None:
        """Decides what the log records about one record of `subject`, and updates the subject."""
        if prepared.attributes is None:
            self._add_unparseable(prepared, subject)
        else:
            self._add_event(prepared, prepared.attributes, subject)

    def add_reset(self, reset: Reset, recorded_ms: int, subject_no: int) -> int:
        """Adds the entry that says where a partition is read from again; returns its index."""
        return self._append(reset.members(recorded_ms), recorded_ms, subject_no)

    def _add_event(self, prepared: PreparedRecord, attributes: EventAttributes, subject: Subject) -> None:
        value = prepared.record.value or b""
        logged = self.known.setdefault((subject.no, attributes.source, attributes.ordinal), [])
        if any(value == other for _, other in logged):
            self.duplicates += 1
            return
        members = _members("incident" if logged else "event", prepared)
        members["source"], members["type"] = attributes.source, attributes.type
        members["epoch"], members["sequence"] = attributes.epoch, attributes.sequence
        pseudonym = subject.pseudonym(attributes.source)
        if pseudonym is not None:
            members["subject"] = pseudonym
        if logged:
            members["first"] = logged[0][0]
            self.incidents += 1
        public = (attributes.ordinal, attributes.event_id, attributes.source, attributes.type)
        index = self._append(members, prepared.record.timestamp_ms, subject.no, public, value=value)
        self._keep_words(index, subject, attributes)
        if attributes.correlation is not None:
            self.correlations.add((attributes.correlation, subject.no))
        is_erasure = attributes.type == ERASED and attributes.source == ERASER
        if is_erasure and not logged and subject.key is not None:
            # Later records of this batch find the key destroyed already.
            subject.erase()
            self.erased.add(subject.no)
        if not logged:
            self._advance(index, prepared, attributes, subject)
        logged.append((index, value))

    def _advance(
        self, index: int, prepared: PreparedRecord, attributes: EventAttributes, subject: Subject
    ) -> None:
        """Moves the subject's last ordinal, and notes what is missing before it, or that it came late."""
        source, ordinal = attributes.source, attributes.ordinal
        last = subject.last.get(source)
        began_late = (prepared.record.topic, prepared.record.partition) in self.began_late
        gap = sequence_gap(index, subject.no, source, ordinal, last, began_late=began_late)
        if gap is not None:
            self.sequence_gaps.append(gap)
        if last is not None and ordinal < last:
            self.late.append((subject.no, source, ordinal))
        subject.last[source] = max(ordinal, last or 0)

    def _keep_words(self, index: int, subject: Subject, attributes: EventAttributes) -> None:
        if attributes.words is not None and subject.key is not None:
            self.words_rows.append((subject.no, index, subject.seal(index, attributes.words)))
        if attributes.words_refused:
            self.words_refused += 1

    def _add_unparseable(self, prepared: PreparedRecord, subject: Subject) -> None:
        value = prepared.record.value or b""
        if value in self.opened.get(subject.no, ()):
            self.duplicates += 1
            return
        members = _members("unparseable", prepared)
        index = self._append(members, prepared.record.timestamp_ms, subject.no, fault=prepared.fault)
        opening = prepared.salt + value
        self.words_rows.append((subject.no, index, subject.seal(index, opening)))
        self.unparseable += 1

    def _append(
        self,
        members: Members,
        appended_ms: int,
        subject_no: int,
        public: tuple[Any, ...] = (None, None, None, None),
        *,
        value: bytes | None = None,
        fault: str | None = None,
    ) -> int:
        """Adds an entry and its row; returns its index. `public`: ordinal, event id, source and type."""
        index = self.first + len(self.entries)
        entry = encode_entry(members)
        self.entries.append(entry)
        start = (index, members["kind"], appended_ms, subject_no)
        self.entry_rows.append((*start, *public, entry, value, fault))
        return index


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
