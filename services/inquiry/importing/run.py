"""An import from beginning to end: batches of rows, each with its rejections and the progress as one."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import asyncpg

from services.inquiry.config import secret_key
from services.inquiry.domain.concern import Concern
from services.inquiry.importing.records import Lines, Record, Unreadable, read_records
from services.inquiry.importing.report import write_report
from services.inquiry.importing.seen import SeenIds
from services.inquiry.importing.translate import Rejection, Translator, Untakeable
from services.inquiry.intake import Intake
from shared import sql
from shared.errors import CivicloomError
from shared.packs import Packs
from shared.unit_of_work.database import Database

QUERIES = sql.load("services.inquiry.importing")
BATCH = 500
"""Rows per transaction: enough to make its fixed cost small, few enough to hold whole in memory."""
_TRIES = 5
_POLL_SECONDS = 0.5

OnProgress = Callable[[int], None]
"""RoutingFact the bytes of the file that are dealt with."""
OnWait = Callable[[str], None]
"""RoutingFact why nothing happens for the moment."""


class ImportStopped(CivicloomError):
    """The import could not go on; what it has taken stays taken."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`rows` = `taken` (now) + `already` (were in the system before this run) + `rejected`.

    `resumed_at` is the number of rows that an earlier run, cut short, had dealt with.
    """

    rows: int
    taken: int
    already: int
    rejected: int
    resumed_at: int


class _Batch(NamedTuple):
    """Some rows and how many of the file are dealt with after them."""

    concerns: list[Concern]
    rejections: list[Rejection]
    records: int


class Importer:
    """Takes one file into inquiry's database. `fingerprint` names file, mapping and pack together."""

    def __init__(self, database: Database, policies: Packs, translator: Translator, path: Path) -> None:
        if policies.current.version != translator.pack.version:
            raise ValueError("the mapping was compiled for another version of the pack")
        self._database = database
        self._intake = Intake(policies, secret_key(database.settings))
        self._translator = translator
        self._path = path
        self.fingerprint = _fingerprint(path, translator)

    async def run(self, on_progress: OnProgress, on_wait: OnWait) -> Outcome:
        """Goes through the file, from where an earlier run was cut short.

        Raises UnusableFile, ImportStopped if two imports keep taking each other's rows, and the driver's
        error if the database goes away. The rejections stay in the database until `finish`.
        """
        async with self._alone(on_wait):
            done = await self._database.pool.fetchval(QUERIES["read_progress"], self.fingerprint) or 0
            taken = rows = 0
            with self._path.open("rb") as file:
                lines = Lines(file)
                for batch in self._batches(lines, skip=done):
                    taken += await self._take(batch)
                    rows = batch.records
                    on_progress(lines.bytes_read)
            rejected: int = await self._database.pool.fetchval(QUERIES["count_rejected"], self.fingerprint)
        return Outcome(rows, taken, rows - rejected - taken, rejected, min(done, rows))

    async def finish(self, report: Path) -> None:
        """Writes the report of what was rejected, if anything was, and forgets the progress.

        A report of an earlier run is replaced, or removed if nothing is left to say. Raises OSError.
        """
        async with self._database.pool.acquire() as connection, connection.transaction():
            await write_report(connection.cursor(QUERIES["read_rejected"], self.fingerprint), report)
            await connection.execute(QUERIES["forget_progress"], self.fingerprint)
            await connection.execute(QUERIES["forget_rejected"], self.fingerprint)

    @asynccontextmanager
    async def _alone(self, on_wait: OnWait) -> AsyncIterator[None]:
        # On a connection of its own: the lock lasts as long as the session, and goes with a killed process.
        source = self._translator.mapping.source
        session = await self._database.connect()
        try:
            while not await session.fetchval(QUERIES["try_lock_source"], source):
                on_wait(f"another import of {source} is running: waiting for it")
                await asyncio.sleep(_POLL_SECONDS)
            yield
        finally:
            await session.close()

    def _batches(self, lines: Lines, skip: int) -> Iterator[_Batch]:
        """Rows beyond the first `skip`; those are translated all the same, since their ids may come again."""
        columns = self._translator.mapping.columns
        batch = _Batch([], [], 0)
        seen = SeenIds()
        try:
            count = 0
            found = read_records(self._path, lines, self._translator.mapping.format, columns)
            for count, record in enumerate(found, start=1):
                translated = self._translated(record, seen)
                if count <= skip:
                    continue
                if isinstance(translated, Concern):
                    batch.concerns.append(translated)
                else:
                    batch.rejections.append(translated)
                if count % BATCH == 0:
                    yield batch._replace(records=count)
                    batch = _Batch([], [], 0)
            yield batch._replace(records=count)
        finally:
            seen.close()

    def _translated(self, record: Record | Unreadable, seen: SeenIds) -> Concern | Rejection:
        if isinstance(record, Unreadable):
            return Rejection(record.line, record.reason, "")
        external_id = ""
        try:
            external_id = self._translator.external_id(record)
            concern = self._translator.concern(record, external_id)
        except Untakeable as error:
            return Rejection(record.line, str(error), external_id)
        # Only what is taken uses up its id: a bad row must not stand in the way of a good one.
        first = seen.first_line(external_id, record.line)
        if first != record.line:
            return Rejection(record.line, f"the id stands on line {first} already", external_id)
        return concern

    async def _take(self, batch: _Batch) -> int:
        """One transaction; the number of cases that it made."""
        for _ in range(_TRIES):
            try:
                return await self._try_to_take(batch)
            except (asyncpg.UniqueViolationError, asyncpg.TransactionRollbackError):
                # Somebody else took some of these rows meanwhile; looked at again they are known.
                continue
        raise ImportStopped(
            f"others keep taking the rows before row {batch.records}: run it again when they are through"
        )

    async def _try_to_take(self, batch: _Batch) -> int:
        async with self._database.transaction() as tx:
            taken = await self._intake.take_in(tx, batch.concerns, actor="import") if batch.concerns else []
            if batch.rejections:
                await tx.connection.execute(
                    QUERIES["keep_rejected"],
                    self.fingerprint,
                    [one.line for one in batch.rejections],
                    [one.external_id for one in batch.rejections],
                    [one.reason for one in batch.rejections],
                )
            await tx.connection.execute(QUERIES["keep_progress"], self.fingerprint, batch.records)
        return sum(one.fresh for one in taken)


def _fingerprint(path: Path, translator: Translator) -> str:
    # Another mapping or pack may take what this one rejects: then nothing is passed over.
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(translator.mapping.model_dump_json().encode())
    digest.update(translator.pack.version.encode())
    return digest.hexdigest()
