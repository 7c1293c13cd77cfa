"""Lets a log go on that stands, or that a restore moved: by an entry of the kind `reset`, in one transaction.

Works beside a writer, which finds itself replaced and begins again, and without one.
"""

import asyncpg

from services.audit.log import queries
from services.audit.log.continuity import Refusal
from services.audit.log.reset import NotResettable, Reset
from services.audit.log.sequencer import Sequencer
from shared.kafka.records import Partition


async def resume(
    connection: asyncpg.Connection, partition: Partition, *, operator: str, reason: str
) -> tuple[Reset, int] | None:
    """Clears the refusal of a partition: it is read again from the beginning of what stands there now.

    What is known already is then a second sending. Answers the reset and the index of its entry; None if the
    partition is not refused. `connection` has the schema of audit as its search path, and is used for nothing
    else meanwhile. Raises NotResettable for a partition of which nothing was ever logged.
    """
    if partition not in await _refused(connection):
        if partition not in await queries.cursors(connection):
            raise NotResettable(f"the log has never read {partition[0]}/{partition[1]}")
        return None  # without taking over: a writer that works is left in peace
    async with connection.transaction():
        sequencer = await Sequencer.open_to_resume(connection)
        refusal = (await _refused(connection)).get(partition)
        if refusal is None:  # somebody else has just resumed it
            return None
        reset = Reset(*partition, sequencer.next_offset(*partition) or 0, refusal.offset)
        return reset, await sequencer.reset(reset, operator=operator, reason=reason)


async def _refused(connection: asyncpg.Connection) -> dict[Partition, Refusal]:
    return {(one.topic, one.partition): one for one in await queries.open_refusals(connection)}


async def record_reset(connection: asyncpg.Connection, reset: Reset, *, operator: str, reason: str) -> int:
    """Logs that a partition is read from `reset.offset` on, and moves its cursor; the index of the entry.

    For a restore, which knows where each partition continues. Closes the partition's refusal, if it has one.
    May run in a transaction of the caller's. Raises NotResettable if the cursor is not at `reset.taken`.
    """
    async with connection.transaction():
        sequencer = await Sequencer.open_to_resume(connection)
        return await sequencer.reset(reset, operator=operator, reason=reason)
