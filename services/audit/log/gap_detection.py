"""What the log was not given. It takes every record of its topics, so whatever is missing is lost to it.

It is told, and the log goes on: what is there is logged, and the hole stays visible in the entries for ever.
"""

from collections.abc import Iterable
from typing import NamedTuple

from services.audit.log.errors import LogBroken
from shared.contracts.base import ORDINALS_PER_EPOCH
from shared.kafka.records import RawRecord

Partition = tuple[str, int]


class OffsetGap(NamedTuple):
    """Offsets [first, end) of a partition that the broker does not have any more.

    Compaction and transactions, which leave such gaps too, do not exist on our topics.
    """

    topic: str
    partition: int
    first: int
    end: int


class SequenceGap(NamedTuple):
    """Before the event in entry `entry`, `missing` events of its source about its subject are not there."""

    entry: int
    source: str
    missing: int


def follow(records: Iterable[RawRecord], offsets: dict[Partition, int]) -> list[OffsetGap]:
    """Moves `offsets` on; answers what was jumped over. A partition without an offset begins anywhere.

    Raises LogBroken if the broker hands out an offset again that was taken: the reader begins at the
    cursors, so this is a topic that was made anew or a broker that lost its end, and to skip what stands
    there now would be to omit it.
    """
    gaps: list[OffsetGap] = []
    for record in records:
        place = (record.topic, record.partition)
        taken = offsets.get(place, record.offset)
        if record.offset < taken:
            raise LogBroken(
                f"{record.topic}/{record.partition} is logged up to offset {taken}, but the broker hands out "
                f"{record.offset}: the topic was made anew, or the broker has lost records"
            )
        if record.offset > taken:
            gaps.append(OffsetGap(*place, taken, record.offset))
        offsets[place] = record.offset + 1
    return gaps


def missing_before(position: int, last: int | None) -> int:
    """How many events are missing between the last position of a sequence (None: none yet) and this one.

    A sequence begins with 1. In a new epoch it goes on from what the restored service found: no telling.
    """
    if last is None:
        return max(0, position % ORDINALS_PER_EPOCH - 1)
    if position // ORDINALS_PER_EPOCH > last // ORDINALS_PER_EPOCH:
        return 0
    return max(0, position - last - 1)
