"""Over how many partitions the records of a topic were hashed: what the topic itself shows.

A release that kept no widths hashed over as many partitions as the broker had at the moment. If partitions
were added after its last record, the broker's number is not the one by which its keys are found.
"""

import zlib
from collections.abc import Collection

from shared.kafka.client import Reader
from shared.kafka.records import Partition, RawRecord
from shared.kafka_access import KafkaAccess

_SAMPLE = 400
_READ_WAIT_MS = 1000


async def used_width(access: KafkaAccess, topic: str, partitions: int) -> int:
    """The width by which the newest records of the topic were sent.

    It is `partitions`, the broker's number, unless the last ones have never held a record and the others
    hold their records by a smaller number. Reads some hundred records.

    Raises KafkaError if no broker answers.
    """
    if partitions == 1:
        return 1
    begins, ends = await _bounds(access, topic)
    used = max((number + 1 for (_, number), end in ends.items() if end), default=0)
    if used in (0, partitions):
        return partitions
    offsets = {at: max(begins[at], end - max(1, _SAMPLE // used)) for at, end in ends.items()}
    missing = sum(end - offsets[at] for at, end in ends.items())
    reader = Reader(access, "civicloom-width", [topic])
    await reader.start(offsets)
    records: list[RawRecord] = []
    try:
        # The offsets may have gaps: then an empty answer is the end.
        while len(records) < missing and (found := await reader.read(missing, _READ_WAIT_MS)):
            records += found
    finally:
        await reader.stop()
    return width_of(records, used, partitions)


def width_of(records: Collection[RawRecord], used: int, partitions: int) -> int:
    """The width, from `used` to `partitions`, with the fewest records elsewhere; the largest of equal ones.

    `used` is the number up to which partitions have ever held a record: more cannot be concluded from a few
    records of another origin.
    """

    def misfits(width: int) -> int:
        return sum(
            record.key is not None and zlib.crc32(record.key) % width != record.partition
            for record in records
        )

    return min(range(partitions, used - 1, -1), key=misfits)


async def _bounds(access: KafkaAccess, topic: str) -> tuple[dict[Partition, int], dict[Partition, int]]:
    reader = Reader(access, "civicloom-width", [topic])
    await reader.start({})
    try:
        return await reader.begins(), await reader.ends()
    finally:
        await reader.stop()
