"""The loop around the sequencer: one process holds the lock, reads all partitions as bytes and appends.

No consumer group, no rounds, no parking, no dead letter: a log that can refuse input can be made to omit.
Other copies wait for the lock and serve readers meanwhile.
"""

import asyncio
import time
import zlib
from collections.abc import Sequence

import asyncpg

from services.audit.log.envelope import Prepared, prepare
from services.audit.log.errors import LogBroken
from services.audit.log.files import LogFiles
from services.audit.log.metrics import LOG_BATCH_SECONDS, LOG_PUBLISHED, LOG_RECORDS, LOG_SIZE, LOG_WRITER
from services.audit.log.note import Signer
from services.audit.log.publish import publish
from services.audit.log.sequencer import Appended, Sequencer
from services.audit.log.subjects import KeyBox
from services.audit.queries import QUERIES
from shared.contracts.addresses import topic_name
from shared.database import Database
from shared.errors import Stale
from shared.infrastructure import is_infrastructure
from shared.kafka import KafkaError, Reader
from shared.logs import get_logger

log = get_logger(__name__)

TOPICS = ("publisher", "inquiry", "routing", "audit")
_LOCK = zlib.crc32(b"log writer") & 0x7FFFFFFF
_BATCH = 4000
_READ_WAIT_MS = 100
_PUBLISH_EVERY = 0.25  # at most: a checkpoint a second while there is work is promised
_WAIT_FOR_LOCK = 1.0
_BROKEN_WAIT = 10.0


class Writer:
    """Owns the log while it holds the lock. `grown` is set whenever entries were committed."""

    def __init__(self, database: Database, signer: Signer, keys: KeyBox, files: LogFiles) -> None:
        self._database = database
        self._signer = signer
        self._keys = keys
        self._files = files
        self._publish_now = asyncio.Event()
        self.grown = asyncio.Event()
        self.broken: str | None = None
        self._owns = False

    async def run(self) -> None:
        """Until cancelled. A broken log is never written to: it stays not ready until somebody helped."""
        wait = 0.5
        while True:
            try:
                await self._own()
                wait = 0.5
            except LogBroken as error:
                self.broken = str(error)
                log.critical("the log is broken: nothing is signed", reason=str(error))
                await asyncio.sleep(_BROKEN_WAIT)
            except Exception as error:
                if not (is_infrastructure(error) or isinstance(error, KafkaError | Stale)):
                    raise
                log.warning("log writer waits", error=repr(error))
                await asyncio.sleep(wait)
                wait = min(wait * 2, 5)
            finally:
                self._owns = False
                LOG_WRITER.set(0)

    async def run_publishing(self) -> None:
        """Copies what is committed to the files, whoever committed it. Until cancelled."""
        while True:
            started = time.monotonic()
            try:
                if self._owns:
                    await self._publish()
            except LogBroken as error:
                self.broken = str(error)
                log.critical("the log is broken: nothing is published", reason=str(error))
                await asyncio.sleep(_BROKEN_WAIT)
            except Exception as error:
                if not is_infrastructure(error):
                    raise
                log.warning("publishing the log waits", error=repr(error))
                await asyncio.sleep(1)
            await asyncio.sleep(max(0.0, _PUBLISH_EVERY - (time.monotonic() - started)))
            try:
                await asyncio.wait_for(self._publish_now.wait(), 1)
            except TimeoutError:
                continue
            finally:
                self._publish_now.clear()

    async def _publish(self) -> None:
        async with self._database.pool.acquire() as connection:
            LOG_PUBLISHED.set(await publish(connection, self._files, self._signer.verifier))

    async def _own(self) -> None:
        connection = await self._database.connect()
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1, 0)", _LOCK):
                await asyncio.sleep(_WAIT_FOR_LOCK)
            await self._write(connection)
        finally:
            # Frees the lock at once, also if the connection hangs.
            connection.terminate()

    async def _write(self, connection: asyncpg.Connection) -> None:
        published = await asyncio.to_thread(self._files.checkpoint)
        sequencer = await Sequencer.open(connection, self._signer, self._keys, published)
        self.broken = None
        self._owns = True
        LOG_WRITER.set(1)
        LOG_SIZE.set(sequencer.size)
        self._publish_now.set()
        settings = self._database.settings
        topics = [topic_name(settings.topic_namespace, name) for name in TOPICS]
        reader = Reader(settings.kafka_bootstrap, "civicloom-audit-log", topics)
        cursors = await connection.fetch(QUERIES["log_cursors"])
        offsets = {(row["topic"], row["partition"]): row["next_offset"] for row in cursors}
        log.info("log writer started", size=sequencer.size)
        appending: asyncio.Task[None] | None = None
        try:
            await reader.start(offsets)
            while True:
                records = await reader.read(_BATCH, _READ_WAIT_MS)
                # The next batch is read and parsed while the one before is committed.
                prepared = await asyncio.to_thread(prepare, records) if records else []
                if appending is not None:
                    await appending
                    appending = None
                if prepared:
                    appending = asyncio.create_task(self._append(sequencer, prepared))
                elif connection.is_closed():
                    raise Stale("the session with the lock is gone")
        finally:
            if appending is not None:
                appending.cancel()
                await asyncio.gather(appending, return_exceptions=True)
            await reader.stop()

    async def _append(self, sequencer: Sequencer, prepared: Sequence[Prepared]) -> None:
        started = time.perf_counter()
        appended = await sequencer.append(prepared)
        LOG_BATCH_SECONDS.observe(time.perf_counter() - started)
        _count(appended)
        if appended.note is not None:
            LOG_SIZE.set(appended.size)
            self._publish_now.set()
            self.grown.set()


def _count(appended: Appended) -> None:
    LOG_RECORDS.labels("logged").inc(appended.size - appended.first)
    for outcome in ("duplicates", "incidents", "unparseable", "words_refused"):
        if count := getattr(appended, outcome):
            LOG_RECORDS.labels(outcome).inc(count)
