"""Detects lost records: offset gaps and sequence gaps.

The log takes every record of its topics, so whatever is missing is lost to it. A gap is reported and the log
goes on: what is there is logged, and the gap stays visible in the entries.
"""

from collections.abc import Iterable
from typing import NamedTuple

from services.audit.log.errors import LogBroken
from shared.contracts.base import ORDINALS_PER_EPOCH
from shared.kafka.records import RawRecord

Partition = tuple[str, int]
"""Topic and number."""


class OffsetGap(NamedTuple):
    """Offsets [first, end) of a partition that the broker no longer has.

    Compaction and transactions, which leave such gaps too, do not exist on our topics.
    """

    topic: str
    partition: int
    first: int
    end: int


class SequenceGap(NamedTuple):
    """Before the event in entry `entry`, `missing` events of its source about its subject were not logged."""

    entry: int
    source: str
    missing: int


def advance_offsets(records: Iterable[RawRecord], offsets: dict[Partition, int]) -> list[OffsetGap]:
    """Moves `offsets` (the next one per partition) past `records`; returns the gaps between them.

    A partition without an offset may begin anywhere. Raises LogBroken if the broker returns an offset that
    was already taken: reading starts at the cursors, so the topic was recreated or the broker lost its end,
    and skipping the records that stand there now would omit them.
    """
    gaps: list[OffsetGap] = []
    for record in records:
        partition = (record.topic, record.partition)
        taken = offsets.get(partition, record.offset)
        if record.offset < taken:
            raise LogBroken(
                f"{record.topic}/{record.partition} is logged up to offset {taken}, but the broker returned "
                f"{record.offset}: the topic was recreated, or the broker has lost records"
            )
        if record.offset > taken:
            gaps.append(OffsetGap(*partition, taken, record.offset))
        offsets[partition] = record.offset + 1
    return gaps


def sequence_gap(
    entry: int, source: str, ordinal: int, last: int | None, *, began_late: bool
) -> SequenceGap | None:
    """The gap before the event that entry `entry` is about; None if nothing is missing.

    `last` is the highest ordinal logged of the same source and subject, None for the first one. `began_late`:
    the partition's beginning was gone when the log began, so a first event may have any number.
    """
    if last is None and began_late:
        return None
    missing = missing_before(ordinal, last)
    return SequenceGap(entry, source, missing) if missing else None


def missing_before(ordinal: int, last: int | None) -> int:
    """How many events are missing between `last` (None: no event yet) and `ordinal`.

    A sequence begins with 1. The first event of a new epoch never misses one: the restored service continued
    from what it found, which is unknown here.
    """
    if last is None:
        return max(0, ordinal % ORDINALS_PER_EPOCH - 1)
    if ordinal // ORDINALS_PER_EPOCH > last // ORDINALS_PER_EPOCH:
        return 0
    return max(0, ordinal - last - 1)
