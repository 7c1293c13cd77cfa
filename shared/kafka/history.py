"""Reads what stands on topics at this moment, once and without a group, for operators' commands."""

import datetime as dt
from collections.abc import AsyncIterator, Mapping, Sequence

from shared.kafka.client import Reader, read_until
from shared.kafka.records import Partition, RawRecord
from shared.kafka_access import KafkaAccess

_BATCH = 5000


async def records_since(
    access: KafkaAccess,
    topics: Sequence[str],
    since: dt.datetime,
    at_least_from: Mapping[Partition, int] | None = None,
) -> AsyncIterator[list[RawRecord]]:
    """Lists of the records that were appended since a moment of the broker's time, up to the present ends.

    Parameters
    ----------
    at_least_from
        Offsets at which to begin where they are lower.

    Raises
    ------
    KafkaError
        If a topic is missing or no broker answers.
    """
    reader = Reader(access, "civicloom-history", topics)
    await reader.start({})
    try:
        ends = await reader.ends()
        begins = await reader.offsets_at(int(since.timestamp() * 1000))
        lower = at_least_from or {}
        reader.seek({one: min(offset, lower.get(one, offset)) for one, offset in begins.items()})
        async for records in read_until(reader, ends, _BATCH):
            yield records
    finally:
        await reader.stop()
