"""From prepared records to the rows of one append: pure, in memory, decided record by record in order."""

from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

from services.audit.log.entry import VERSION, Members, encode_entry, time_bucket
from services.audit.log.envelope import ERASED, ERASER, Envelope, Prepared
from services.audit.log.loss import Hole, Partition, missing_before
from services.audit.log.subjects import Subject

Place = tuple[int, str, int]
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
    known: dict[Place, list[tuple[int, bytes]]]
    late: Set[Partition] = frozenset()
    duplicates: int = 0
    incidents: int = 0
    unparseable: int = 0
    words_refused: int = 0
    holes: list[Hole] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    entry_rows: list[tuple[Any, ...]] = field(default_factory=list)
    words_rows: list[tuple[int, int, bytes]] = field(default_factory=list)
    erased: set[int] = field(default_factory=set)
    correlations: set[tuple[str, int]] = field(default_factory=set)

    def add(self, prepared: Prepared) -> None:
        """Decide what the log says about one record."""
        if prepared.envelope is None:
            self._add_unparseable(prepared)
        else:
            self._add_event(prepared, prepared.envelope)

    def live_words(self) -> list[tuple[int, int, bytes]]:
        """The words to be stored: not those of a subject that this very batch erases."""
        return [row for row in self.words_rows if row[0] not in self.erased]

    def _add_event(self, prepared: Prepared, envelope: Envelope) -> None:
        subject = self.subjects[envelope.subject]
        value = prepared.record.value or b""
        logged = self.known.setdefault((subject.no, envelope.source, envelope.ordinal), [])
        for _, other in logged:
            if value == other:
                self.duplicates += 1
                return
        index = self.first + len(self.entries)
        members = _members("incident" if logged else "event", prepared)
        members["source"] = envelope.source
        members["type"] = envelope.type
        members["epoch"] = envelope.epoch
        members["sequence"] = envelope.sequence
        pseudonym = subject.pseudonym(envelope.source)
        if pseudonym is not None:
            members["subject"] = pseudonym
        if logged:
            members["first"] = logged[0][0]
            self.incidents += 1
        self._append(prepared, members, subject.no, envelope)
        self._keep_words(index, subject, envelope)
        if envelope.correlation is not None:
            self.correlations.add((envelope.correlation, subject.no))
        if envelope.type == ERASED and envelope.source == ERASER and not logged and subject.key is not None:
            # What comes after it in this batch finds the key destroyed already.
            subject.erase()
            self.erased.add(subject.no)
        logged.append((index, value))
        self._note_hole(index, subject.last.get(envelope.source), prepared, envelope)
        subject.last[envelope.source] = max(envelope.ordinal, subject.last.get(envelope.source, 0))

    def _note_hole(self, index: int, last: int | None, prepared: Prepared, envelope: Envelope) -> None:
        if last is None and (prepared.record.topic, prepared.record.partition) in self.late:
            return
        if missing := missing_before(envelope.ordinal, last):
            self.holes.append(Hole(index, envelope.source, missing))

    def _keep_words(self, index: int, subject: Subject, envelope: Envelope) -> None:
        if envelope.words is not None and subject.key is not None:
            self.words_rows.append((subject.no, index, subject.seal(index, envelope.words)))
        if envelope.words_refused:
            self.words_refused += 1

    def _add_unparseable(self, prepared: Prepared) -> None:
        subject = self.subjects[unparseable_subject(prepared)]
        index = self.first + len(self.entries)
        self._append(prepared, _members("unparseable", prepared), subject.no, None)
        opening = prepared.salt + (prepared.record.value or b"")
        self.words_rows.append((subject.no, index, subject.seal(index, opening)))
        self.unparseable += 1

    def _append(
        self, prepared: Prepared, members: Members, subject_no: int, envelope: Envelope | None
    ) -> None:
        index = self.first + len(self.entries)
        entry = encode_entry(members)
        self.entries.append(entry)
        start = (index, members["kind"], prepared.record.timestamp_ms, subject_no)
        if envelope is None:
            self.entry_rows.append((*start, None, None, None, None, entry, None, prepared.fault))
        else:
            attributes = (envelope.ordinal, envelope.event_id, envelope.source, envelope.type)
            self.entry_rows.append((*start, *attributes, entry, prepared.record.value, None))


def _members(kind: str, prepared: Prepared) -> dict[str, str | int]:
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


def subject_of(prepared: Prepared) -> str:
    """The subject under whose key the record's words are sealed."""
    return unparseable_subject(prepared) if prepared.envelope is None else prepared.envelope.subject


def unparseable_subject(prepared: Prepared) -> str:
    """Bytes that nobody understands may hold anything about anybody: they get a key of their own."""
    record = prepared.record
    return f"unparseable/{record.topic}/{record.partition}/{record.offset}"
