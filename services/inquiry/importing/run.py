"""An import from beginning to end: each batch of rows is one transaction with its rejections and progress."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from services.inquiry.config import secret_key
from services.inquiry.domain.concern import Concern
from services.inquiry.importing.queries import (
    LOST_RACES,
    allow_any_duration,
    count_rejections,
    forget_import,
    keep_progress,
    keep_rejections,
    read_progress,
    read_rejections,
    try_lock_source,
)
from services.inquiry.importing.records import Lines, Record, Unreadable, read_records
from services.inquiry.importing.report import write_report
from services.inquiry.importing.seen import SeenIds
from services.inquiry.importing.translate import Rejection, Translator, UnusableRow
from services.inquiry.intake import Intake
from shared.errors import CivicloomError
from shared.packs import Packs
from shared.unit_of_work.database import Database

BATCH = 500
"""Rows per transaction: enough to make its fixed cost small, few enough to hold whole in memory."""
_TRIES = 5
_POLL_SECONDS = 0.5

OnProgress = Callable[[int], None]
"""RoutingFact the bytes of the file that are dealt with."""
OnWait = Callable[[str], None]
"""RoutingFact why nothing happens for the moment."""


class ImportStopped(CivicloomError):
    """The import could not go on. The rows that it has taken in stay taken in."""


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """`rows` = `taken` (now) + `already` (were in the system before this run) + `rejected`.

    `resumed_at` is the number of rows that an interrupted earlier run had dealt with.
    """

    rows: int
    taken: int
    already: int
    rejected: int
    resumed_at: int


class _Batch(NamedTuple):
    """Some rows, and how many records of the file are dealt with after them."""

    concerns: list[Concern]
    rejections: list[Rejection]
    records: int


class Importer:
    """Takes one file into inquiry's database. `fingerprint` identifies file, mapping and pack together."""

    def __init__(self, database: Database, policies: Packs, translator: Translator, path: Path) -> None:
        """`translator` must be compiled for the pack that `policies` have in force: raises ValueError.

        Reads the whole file at `path` once, for the fingerprint. Raises OSError.
        """
        if policies.current.version != translator.pack.version:
            raise ValueError("the mapping was compiled for another version of the pack")
        self._database = database
        self._intake = Intake(policies, secret_key(database.settings))
        self._translator = translator
        self._path = path
        self.fingerprint = _fingerprint(path, translator)

    async def run(self, on_progress: OnProgress, on_wait: OnWait) -> ImportSummary:
        """Goes through the file, from where an earlier run was interrupted.

        Raises UnusableFile, ImportStopped if two imports keep taking each other's rows, and the driver's
        error if the database goes away. The rejections stay in the database until `finish`.
        """
        async with self._alone(on_wait):
            done = await read_progress(self._database.pool, self.fingerprint)
            taken = rows = 0
            with self._path.open("rb") as file:
                lines = Lines(file)
                for batch in self._batches(lines, skip=done):
                    taken += await self._take(batch)
                    rows = batch.records
                    on_progress(lines.bytes_read)
            rejected = await count_rejections(self._database.pool, self.fingerprint)
        return ImportSummary(rows, taken, rows - rejected - taken, rejected, min(done, rows))

    async def finish(self, report: Path) -> None:
        """Writes the report of the rejected rows, if there are any, and forgets the progress.

        A report of an earlier run is replaced, or removed if no row is rejected. Raises OSError.
        """
        async with self._database.pool.acquire() as connection, connection.transaction():
            await allow_any_duration(connection)  # as many rows as were rejected
            await write_report(read_rejections(connection, self.fingerprint), report)
            await forget_import(connection, self.fingerprint)

    @asynccontextmanager
    async def _alone(self, on_wait: OnWait) -> AsyncIterator[None]:
        # On a connection of its own: the lock ends with the session, so also with a killed process.
        source = self._translator.mapping.source
        # It says nothing while the file is translated, so the server must not expect it to.
        session = await self._database.connect(may_be_silent=True)
        try:
            while not await try_lock_source(session, source):
                on_wait(f"another import of {source} is running: waiting for it")
                await asyncio.sleep(_POLL_SECONDS)
            yield
        finally:
            await session.close()

    def _batches(self, lines: Lines, skip: int) -> Iterator[_Batch]:
        """Rows after the first `skip`. Those are translated too, since later rows may repeat their ids."""
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
        except UnusableRow as error:
            return Rejection(record.line, str(error), external_id)
        # A rejected row does not use up its id: a good row with the same id may follow.
        first = seen.first_line(external_id, record.line)
        if first != record.line:
            return Rejection(record.line, f"the id stands on line {first} already", external_id)
        return concern

    async def _take(self, batch: _Batch) -> int:
        """One transaction; the number of cases that it made."""
        for _ in range(_TRIES):
            try:
                return await self._try_to_take(batch)
            except LOST_RACES:
                # Another import took some of these rows in the meantime: the next try finds them known.
                continue
        raise ImportStopped(
            f"others keep taking the rows before row {batch.records}: run it again when they are through"
        )

    async def _try_to_take(self, batch: _Batch) -> int:
        async with self._database.transaction() as tx:
            taken = await self._intake.take_in(tx, batch.concerns, actor="import") if batch.concerns else []
            await keep_rejections(tx.connection, self.fingerprint, batch.rejections)
            await keep_progress(tx.connection, self.fingerprint, batch.records)
        return sum(one.is_new for one in taken)


def _fingerprint(path: Path, translator: Translator) -> str:
    # With another mapping or pack the import starts over: it may take rows that this one rejects.
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(translator.mapping.model_dump_json().encode())
    digest.update(translator.pack.version.encode())
    return digest.hexdigest()
