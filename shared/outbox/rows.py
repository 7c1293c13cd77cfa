"""A row of the outbox as the relay reads it, and how many it reads at once."""

from typing import NamedTuple

BATCH_ROWS = 3000
# A partition accepts half a megabyte per publish batch: reading more than all partitions accept costs memory.
BATCH_BYTES = 8 * 1024 * 1024


class Row(NamedTuple):
    """One event of the outbox; the columns of `take_batch` in their order."""

    id: int
    shard: int
    topic: str
    key: str
    value: bytes
    words: bytes | None
    delivery: str | None
