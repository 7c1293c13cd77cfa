"""Tells whether a log is still the one that was read, by the record that was read last.

Offsets alone do not tell: a topic that was deleted and created again, or a broker that came back with an
older disk, hands the same offsets out to other records. Kafka's topic ids would tell the first case and not
the second, and aiokafka does not speak them.
"""

import hashlib
from dataclasses import dataclass
from enum import Enum

from shared.kafka.records import RawRecord


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is kept of the last record that was read: its offset, append time (ms since 1970) and SHA-256."""

    offset: int
    appended_ms: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class LogState:
    """What a partition holds now: its first offset, the offset after its last record, and one record.

    `record` is the one at the offset that was asked for. It is None if there is none: retention or compaction
    took it, a transaction marker stands there, or the log ends before it.
    """

    begin: int
    end: int
    record: RawRecord | None = None


class Identity(Enum):
    """Whether a log is the one that was read. Unknown: nothing is left by which to tell."""

    SAME = "same"
    OTHER = "other"
    UNKNOWN = "unknown"


def fingerprint(record: RawRecord) -> Fingerprint:
    """The fingerprint of a record: one SHA-256 over key and value; the words are in the value as a hash."""
    key, value = record.key, record.value
    head = f"{-1 if key is None else len(key)} {-1 if value is None else len(value)} ".encode()
    digest = hashlib.sha256(head)
    digest.update(key or b"")
    digest.update(value or b"")
    return Fingerprint(record.offset, record.timestamp_ms, digest.digest())


def compare(last: Fingerprint | None, next_offset: int, now: LogState) -> Identity:
    """Whether `now` is the log that was read up to `next_offset`, with `last` as the last record read.

    A log that ends before `next_offset` is another one, whatever it holds. A log that begins behind `last` is
    not: retention deletes from the front. `last` is None for a cursor of an older release.
    """
    if now.end < next_offset:
        return Identity.OTHER
    if last is None or now.record is None or now.record.offset != last.offset:
        return Identity.UNKNOWN
    return Identity.SAME if fingerprint(now.record) == last else Identity.OTHER
