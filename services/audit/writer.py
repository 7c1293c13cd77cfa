"""The loop around the sequencer: one process holds the lock, reads all partitions as bytes and appends.

No consumer group, no rounds, no parking, no dead letter: a log that can refuse input can be made to omit.
Other processes wait for the lock and serve readers. After any fault the writer drops its state and starts
again from the tables.
"""

import asyncio
import time
import zlib
from collections.abc import Sequence

import asyncpg

from services.audit.log import queries
from services.audit.log.errors import LogError
from services.audit.log.files import LogFiles
from services.audit.log.gap_detection import advance_offsets
from services.audit.log.metrics import (
    LOG_BATCH_SECONDS,
    LOG_LOST,
    LOG_PUBLISHED,
    LOG_RECORDS,
    LOG_SIZE,
    LOG_WRITER,
)
from services.audit.log.note import Signer
from services.audit.log.parsing import PreparedRecord, prepare_ahead
from services.audit.log.publish import publish
from services.audit.log.sequencer import Appended, Sequencer
from services.audit.log.subjects import KeyBox
from services.audit.log_size import LogSizeNotifier
from services.audit.queries import try_lock
from shared.contracts.addresses import topic_name
from shared.errors import Stale
from shared.infrastructure import is_passing
from shared.kafka.client import KafkaError, Reader
from shared.kafka.records import RawRecord
from shared.logs import get_logger
from shared.unit_of_work.database import Database
from shared.unit_of_work.sessions import keep_alive, ping

log = get_logger(__name__)

TOPICS = ("publisher", "inquiry", "routing", "audit")
LOCK = zlib.crc32(b"log writer") & 0x7FFFFFFF
_BATCH = 4000
_READ_WAIT_MS = 1000  # without records: how soon a lost session is noticed
_PACE_SECONDS = 0.1  # between small batches: one entry costs as much as a hundred
_PUBLISH_EVERY = 0.25  # at least; a checkpoint per second is guaranteed while records come
_WAIT_FOR_LOCK = 1.0
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 5.0
_HEALTHY_SECONDS = 30.0


class Writer:
    """Owns the log while it holds the lock.

    `signer` holds the log's key, `keys` wraps those of subjects, `files` is the published folder. `trouble`
    gives, by part, the reason why it does not work; `log_size` notifies readers in this process.
    """

    def __init__(self, database: Database, signer: Signer, keys: KeyBox, files: LogFiles) -> None:
        self._database = database
        self._signer = signer
        self._keys = keys
        self._files = files
        self.log_size = LogSizeNotifier()
        self.trouble: dict[str, str] = {}

    async def run(self) -> None:
        """Runs until cancelled. A broken log is not written to; the service is not ready meanwhile."""
        wait = _FIRST_WAIT
        while True:
            began = time.monotonic()
            try:
                await self._own()
            except LogError as error:
                self.trouble = {"log": str(error)}
                log.critical("the log is broken: nothing is signed", reason=str(error))
            except Exception as error:
                if not is_passing(error, KafkaError, Stale):
                    raise
                self.trouble = {"log": f"the writer waits: {type(error).__name__}"}
                log.warning("log writer waits", error=repr(error))
            if time.monotonic() - began > _HEALTHY_SECONDS:
                wait = _FIRST_WAIT
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _own(self) -> None:
        connection = await self._database.connect()
        try:
            while not await try_lock(connection, LOCK):
                self.trouble = {}  # another process has the log, and reports its trouble
                await asyncio.sleep(_WAIT_FOR_LOCK)
            await self._write(connection)
        finally:
            # Frees the lock at once, even if the connection hangs.
            connection.terminate()

    async def _write(self, connection: asyncpg.Connection) -> None:
        published = await asyncio.to_thread(self._files.checkpoint)
        sequencer = await Sequencer.open(connection, self._signer, self._keys, published)
        log.info("log writer started", size=sequencer.size)
        LOG_WRITER.set(1)
        LOG_SIZE.set(sequencer.size)
        committed = asyncio.Event()
        work = {
            asyncio.create_task(self._append_records(connection, sequencer, committed)),
            asyncio.create_task(self._publish_growth(committed)),
        }
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            LOG_WRITER.set(0)
            connection.terminate()  # else an append on a hung connection could not be cancelled
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _append_records(
        self, connection: asyncpg.Connection, sequencer: Sequencer, committed: asyncio.Event
    ) -> None:
        settings = self._database.settings
        topics = [topic_name(settings.topic_namespace, name) for name in TOPICS]
        cursors = await queries.cursors(connection)
        offsets = {partition: cursor.next for partition, cursor in cursors.items()}
        reader = Reader(settings.kafka_bootstrap, "civicloom-audit-log", topics)
        appending: asyncio.Task[None] | None = None
        try:
            await keep_alive(connection, reader.start(offsets))
            self.trouble = {}
            begun, records = 0.0, list[RawRecord]()
            while True:
                if len(records) < _BATCH // 4:
                    await asyncio.sleep(max(0.0, begun + _PACE_SECONDS - time.monotonic()))
                # The next batch is read and parsed while the previous one is committed.
                begun = time.monotonic()
                records = await reader.read(_BATCH, _READ_WAIT_MS)
                for gap in advance_offsets(records, offsets):
                    LOG_LOST.labels("offset").inc(gap.end - gap.first)
                    log.critical("records are gone", **gap._asdict())
                prepared = await prepare_ahead(records)
                if appending is not None:
                    await appending
                    appending = None
                if prepared:
                    appending = asyncio.create_task(self._append(sequencer, prepared, committed))
                else:
                    await ping(connection)  # also finds out that the session with the lock is gone
        finally:
            if appending is not None:
                appending.cancel()
                await asyncio.gather(appending, return_exceptions=True)
            await reader.stop()

    async def _append(
        self, sequencer: Sequencer, prepared: Sequence[PreparedRecord], committed: asyncio.Event
    ) -> None:
        started = time.perf_counter()
        appended = await sequencer.append(prepared)
        LOG_BATCH_SECONDS.observe(time.perf_counter() - started)
        count(appended)
        if appended.note is not None:
            LOG_SIZE.set(appended.size)
            committed.set()
            self.log_size.notify()

    async def _publish_growth(self, committed: asyncio.Event) -> None:
        """Copies what is committed to the files. A full disk does not stop the logging."""
        while True:
            committed.clear()
            try:
                async with self._database.pool.acquire() as connection:
                    LOG_PUBLISHED.set(await publish(connection, self._files, self._signer.verifier))
            except Exception as error:
                if not is_passing(error):
                    raise
                self.trouble["log files"] = f"publishing waits: {error}"
                log.warning("publishing the log waits", error=repr(error))
                await asyncio.sleep(_LONGEST_WAIT)
                continue
            self.trouble.pop("log files", None)
            await asyncio.sleep(_PUBLISH_EVERY)
            await committed.wait()


def count(appended: Appended) -> None:
    """Counts the records of a batch by outcome, and reports what is missing."""
    LOG_RECORDS.labels("logged").inc(appended.size - appended.first)
    LOG_RECORDS.labels("duplicate").inc(appended.duplicates)
    LOG_RECORDS.labels("incident").inc(appended.incidents)
    LOG_RECORDS.labels("unparseable").inc(appended.unparseable)
    LOG_RECORDS.labels("words_refused").inc(appended.words_refused)
    for gap in appended.sequence_gaps:
        LOG_LOST.labels("sequence").inc(gap.missing)
        log.critical("events are missing", **gap._asdict())
