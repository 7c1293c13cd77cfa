"""Closes the databases of all services for a restore, raises their epochs, and opens them again."""

import asyncio
from collections.abc import Mapping

import asyncpg
import orjson

from shared import sql
from shared.errors import CivicloomError
from shared.outbox.relay import alive_lock
from shared.restore.renumber import Waiting, renumber
from shared.restore.said import Said
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import QUERIES as CORE_QUERIES
from shared.unit_of_work.transaction import Connection, Tx

QUERIES = sql.load("shared.restore")
_WAIT_SECONDS = 30.0


class StillAtWork(CivicloomError):
    """A process of the service still works on the database."""

    def __init__(self, service: str) -> None:
        super().__init__(f"{service} is still at work: stop all its processes, then restore again")


async def close(database: Database) -> asyncpg.Connection:
    """Keeps the service from working until `reopen`; the session that holds its relays off.

    Processes that run notice it within a second and end. Raises StillAtWork if one does not.
    """
    await database.pool.execute(QUERIES["begin_restore"])
    session = await database.connect()
    lock = alive_lock(database.settings.service)
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            while not await session.fetchval(QUERIES["take_alive_lock"], *lock):
                await asyncio.sleep(0.2)
    except TimeoutError:
        session.terminate()
        raise StillAtWork(database.settings.service) from None
    except BaseException:
        session.terminate()
        raise
    return session


async def known_sequences(database: Database, said: Said) -> dict[str, dict[str, int]]:
    """What the tables have as last ordinals, by subject and source, of the subjects in `said`."""
    rows = await database.pool.fetch(CORE_QUERIES["read_sequences"], list(said.highest))
    return {row["id"]: orjson.loads(row["sequences"]) for row in rows}


async def continue_sequences(tx: Tx, said: Said, epoch: int) -> int:
    """Raises the epoch, and the sequences to what the topics have; how many waiting events got a new place.

    `epoch` must be above every epoch on the topics.
    """
    connection = tx.connection
    await connection.execute(QUERIES["raise_epoch"], epoch)
    subjects = list(said.highest)
    rows = await connection.fetch(QUERIES["read_outbox_of"], subjects)
    waiting = [Waiting(row["id"], row["value"], row["paused"]) for row in rows]
    ordinals = {id_: one.ordinal for id_, one in said.events.items()}
    changed, last = renumber(waiting, said.highest, ordinals, epoch)
    await _raise(connection, await _highest_of_both(connection, last))
    for query, paused in (("renumber_outbox", False), ("renumber_paused", True)):
        moved = [row for row in changed if row.paused is paused]
        await connection.execute(QUERIES[query], [row.id for row in moved], [row.value for row in moved])
    return len(changed)


async def reopen(database: Database, session: asyncpg.Connection) -> None:
    """Lets the service work again."""
    await database.pool.execute(QUERIES["forget_topic_widths"])
    await database.pool.execute(QUERIES["finish_restore"])
    await session.close()


async def _highest_of_both(
    connection: Connection, last: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    """`last`, but never below what the tables have."""
    rows = await connection.fetch(CORE_QUERIES["read_sequences"], list(last))
    known = {row["id"]: orjson.loads(row["sequences"]) for row in rows}
    return {
        subject: {source: max(at, known.get(subject, {}).get(source, 0)) for source, at in own.items()}
        for subject, own in last.items()
    }


async def _raise(connection: Connection, sequences: Mapping[str, Mapping[str, int]]) -> None:
    ids = sorted(sequences)
    await connection.execute(
        QUERIES["raise_sequences"], ids, [orjson.dumps(sequences[id_]).decode() for id_ in ids]
    )
