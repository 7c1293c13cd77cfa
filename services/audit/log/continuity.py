"""Whether a partition is still the log that was read up to its cursor: pure.

What its end or its records contradict is refused, since to read on would omit what stands there now. What
retention took from its front is lost, and the log goes on. Transactions and compaction leave holes, which are
neither.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from services.audit.log.errors import LogBroken
from shared.kafka.fingerprint import Fingerprint, Identity, LogState, compare
from shared.kafka.records import Partition, RawRecord


class Cursor(NamedTuple):
    """Of a partition: the first offset ever logged, the next one to take, and the last record taken."""

    first: int
    next: int
    last: Fingerprint | None = None


class Refusal(NamedTuple):
    """Why a partition must not be read on: `taken` is its cursor, `offset` where its log begins now."""

    topic: str
    partition: int
    taken: int
    offset: int
    finding: str

    def sentence(self) -> str:
        """The finding with its place, and the command that goes on."""
        place = f"{self.topic}/{self.partition}"
        return f"{place} {self.finding}: `civicloom audit resume {place} --reason ...` goes on"


class LogRefused(LogBroken):
    """Some partitions must not be read on, each in `refusals`: the log stands until they are resumed."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__("; ".join(refusal.sentence() for refusal in refusals))
        self.refusals = tuple(refusals)


class OffsetGap(NamedTuple):
    """Offsets [first, end) of a partition that the broker deleted before they were logged."""

    topic: str
    partition: int
    first: int
    end: int


def check_partitions(
    cursors: Mapping[Partition, Cursor], found: Mapping[Partition, LogState]
) -> list[OffsetGap]:
    """Compares what was taken with what the broker has; returns what retention took before it was logged.

    A partition without a cursor may begin anywhere. Raises LogRefused with every partition that is another
    log, that ends before its cursor, or that is gone.
    """
    refusals, gaps = [], []
    for (topic, partition), cursor in cursors.items():
        state = found.get((topic, partition))
        if state is None:
            if cursor.next:
                finding = f"was logged up to offset {cursor.next}, and does not exist now"
                refusals.append(Refusal(topic, partition, cursor.next, 0, finding))
        elif compare(cursor.last, cursor.next, state) is Identity.OTHER:
            refusals.append(Refusal(topic, partition, cursor.next, state.begin, _difference(cursor, state)))
        elif state.begin > cursor.next:
            gaps.append(OffsetGap(topic, partition, cursor.next, state.begin))
    if refusals:
        raise LogRefused(refusals)
    return gaps


def _difference(cursor: Cursor, state: LogState) -> str:
    if state.end < cursor.next:
        return f"was logged up to offset {cursor.next}, but ends at {state.end} now"
    at = cursor.next - 1 if cursor.last is None else cursor.last.offset
    return f"is another log: at offset {at} stands another record than the one that was logged"


def advance_offsets(records: Iterable[RawRecord], offsets: dict[Partition, int]) -> None:
    """Moves `offsets` (the next one per partition) past `records`, over holes.

    Raises LogRefused if the broker returns an offset that was already taken: reading starts at the cursors.
    """
    for record in records:
        partition = (record.topic, record.partition)
        taken = offsets.get(partition, record.offset)
        if record.offset < taken:
            finding = f"was logged up to offset {taken}, but the broker returned {record.offset} again"
            raise LogRefused([Refusal(*partition, taken, record.offset, finding)])
        offsets[partition] = record.offset + 1
