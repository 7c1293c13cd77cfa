"""What topics have lost, as their readers found it: kept and shown until an operator has looked."""

import datetime as dt
from dataclasses import dataclass

from shared import sql
from shared.clock import machine_now
from shared.errors import CivicloomError
from shared.metrics import TOPIC_LOSSES
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx

QUERIES = sql.load("shared.inbox")

REPLACED = "replaced"
"""The log under the cursor is another one: it is read again from its beginning."""
EXPIRED = "expired"
"""Records were deleted, by retention or by hand, before they were read."""
_DESCRIPTIONS = {REPLACED: "is another log than the one that was read", EXPIRED: "lost unread records"}


class NoSuchLoss(CivicloomError):
    """No loss of that topic waits to be looked at."""


@dataclass(frozen=True, slots=True)
class TopicLoss:
    """One loss. `from_offset` to `to_offset` (exclusive) are the offsets that were deleted unread; for a
    replaced log, the cursor at which the other log was found and the end of the new one. `times` counts how
    often it happened before somebody looked.
    """

    id: int
    consumer: str
    topic: str
    partition: int
    kind: str
    from_offset: int
    to_offset: int
    times: int
    found_at: dt.datetime
    seen_at: dt.datetime | None
    seen_by: str | None


async def record_loss(tx: Tx, owner: tuple[str, str, int], kind: str, begin: int, end: int) -> None:
    """Stores a loss of (consumer, topic, partition); the same loss again until somebody has looked."""
    await tx.connection.execute(QUERIES["record_topic_loss"], *owner, kind, begin, end, machine_now())


class TopicLosses:
    """The losses that one service has found."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._shown: set[tuple[str, str, str]] = set()

    async def read(self, *, seen: bool = False, limit: int = 1000) -> list[TopicLoss]:
        """The newest first; with `seen` also those that somebody has looked at."""
        rows = await self._database.pool.fetch(QUERIES["list_topic_losses"], seen, limit)
        return [TopicLoss(**row) for row in rows]

    async def see(self, topic: str, by: str) -> int:
        """Marks the losses of a topic as looked at; their number. Raises NoSuchLoss if there are none."""
        rows = await self._database.pool.fetch(QUERIES["see_topic_losses"], topic, machine_now(), by)
        if not rows:
            raise NoSuchLoss(f"no loss of {topic} waits to be looked at")
        return len(rows)

    async def measure(self) -> list[str]:
        """Sets the gauge, and describes each topic with a loss that nobody has looked at."""
        rows = await self._database.pool.fetch(QUERIES["count_topic_losses"])
        found = {(row["consumer"], row["topic"], row["kind"]): row["partitions"] for row in rows}
        for one in self._shown - found.keys():
            TOPIC_LOSSES.labels(*one).set(0)
        for one, partitions in found.items():
            TOPIC_LOSSES.labels(*one).set(partitions)
        self._shown |= found.keys()
        return list(dict.fromkeys(f"{topic} {_DESCRIPTIONS[kind]}" for _, topic, kind in found))
