"""What a service has emitted according to its tables, and how to send events again as they were."""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import asyncpg

from shared import sql
from shared.clock import machine_now
from shared.unit_of_work.database import Database

QUERIES = sql.load("shared.unit_of_work")
_PAGE = 5000
_PER_TRANSACTION = 500


class SentEvent(NamedTuple):
    """An event to send again: the bytes that were on its topic.

    `delivery` is what the outbox notes of a record for a unit, as JSON.
    """

    subject: str
    ordinal: int
    value: bytes
    words: bytes | None
    delivery: str | None = None


async def emitted_ordinals(
    reader: asyncpg.Connection | asyncpg.Pool, source: str, after: str = ""
) -> AsyncIterator[dict[str, int]]:
    """Pages of subjects, those after `after`, with the last ordinal that `source` has emitted about them."""
    while rows := await reader.fetch(QUERIES["emitted_ordinals"], source, after, _PAGE):
        after = rows[-1]["id"]
        yield {row["id"]: row["ordinal"] for row in rows}


async def waiting_values(reader: asyncpg.Connection | asyncpg.Pool, topic: str) -> list[bytes]:
    """The values that wait in the outbox for a topic."""
    return [row["value"] for row in await reader.fetch(QUERIES["waiting_values"], topic)]


async def send_again(database: Database, topic: str, events: Sequence[SentEvent]) -> None:
    """Puts events into the outbox as they were, in order per subject: same id, bytes and sequence.

    What is erased meanwhile goes without its words.
    """
    ordered = sorted(events, key=lambda one: (one.subject, one.ordinal))
    for start in range(0, len(ordered), _PER_TRANSACTION):
        part = ordered[start : start + _PER_TRANSACTION]
        async with database.transaction({one.subject for one in part}) as tx:
            await tx.connection.execute(
                QUERIES["insert_outbox"],
                [topic] * len(part),
                [one.subject for one in part],
                [one.value for one in part],
                [one.words for one in part],
                [one.delivery for one in part],
                machine_now(),
            )
            for one in part:
                tx.redact_if_erased(one.subject)
