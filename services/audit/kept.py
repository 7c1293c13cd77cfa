"""The events that the log has kept, with their words, for sending again what a topic has lost."""

import datetime as dt
from collections.abc import AsyncIterator, Collection
from typing import NamedTuple

from services.audit.log.subjects import KeyBox, Subject
from services.audit.queries import (
    Tables,
    first_index_since,
    kept_entries,
    log_cursors,
    sequences_of_subjects,
)
from shared.kafka.records import Partition

_PAGE = 5000


class KeptEvent(NamedTuple):
    """An event as it was on its topic. `words` is None for an erased subject too."""

    subject: str
    ordinal: int
    value: bytes
    words: bytes | None


async def events_since(
    tables: Tables, keys: KeyBox, source: str, since: dt.datetime
) -> AsyncIterator[list[KeptEvent]]:
    """Pages of what a source has emitted, from the first entry that was appended since `since`.

    Raises LogBroken if the master key of `keys` is not the log's.
    """
    index = await first_index_since(tables, int(since.timestamp() * 1000))
    while page := await kept_entries(tables, index, _PAGE):
        index = page[-1].at + 1
        yield [
            KeptEvent(
                one.subject,
                one.ordinal,
                one.value,
                None
                if one.key is None or one.sealed is None
                else Subject(one.subject_no, keys.unwrap(one.subject, one.key)).unseal(one.at, one.sealed),
            )
            for one in page
            if one.source == source
        ]


async def logged_sequences(tables: Tables, source: str, subjects: Collection[str]) -> dict[str, set[int]]:
    """The sequences of a source that the log has about each of these subjects."""
    return await sequences_of_subjects(tables, source, subjects)


async def next_offsets(tables: Tables) -> dict[Partition, int]:
    """The next offset that the log takes, by partition: what is before it is in the log."""
    return await log_cursors(tables)
