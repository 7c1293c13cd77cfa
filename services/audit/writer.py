"""The loop around the sequencer: one process holds the lock, reads all partitions as bytes and appends.

No consumer group, no rounds, no parking, no dead letter: a log that can refuse input can be made to omit.
Other processes wait for the lock and serve readers. After any fault the writer drops its state and starts
again from the tables. It reads on only where the broker still has the log that was read before.
"""

import asyncio
import datetime as dt
import time
import zlib
from collections.abc import Iterable, Sequence

import asyncpg

from services.audit.case_check import CaseCheck
from services.audit.health import WriterHealth
from services.audit.log import queries
from services.audit.log.continuity import LogRefused, OffsetGap, advance_offsets, check_partitions
from services.audit.log.errors import LogError
from services.audit.log.files import LogFiles
from services.audit.log.metrics import (
    LOG_BATCH_SECONDS,
    LOG_LOST,
    LOG_MISSING,
    LOG_PUBLISHED,
    LOG_RECORDS,
    LOG_SIZE,
)
from services.audit.log.note import Signer
from services.audit.log.parsing import PreparedRecord, prepare_ahead
from services.audit.log.publish import publish
from services.audit.log.sequencer import Appended, Sequencer
from services.audit.log.subjects import KeyBox
from services.audit.log_size import LogSizeNotifier
from services.audit.queries import try_lock
from shared.clock import machine_now
from shared.contracts.addresses import topic_name
from shared.errors import Stale
from shared.infrastructure import is_infrastructure, is_passing
from shared.kafka.client import KafkaError
from shared.kafka.log_state import read_log_states
from shared.kafka.watched_reader import LogInDoubt, WatchedReader
from shared.logs import get_logger
from shared.unit_of_work.database import Database
from shared.unit_of_work.sessions import keep_alive, ping

log = get_logger(__name__)

TOPICS = ("publisher", "inquiry", "routing", "audit")
LOCK = zlib.crc32(b"log writer") & 0x7FFFFFFF
_BATCH = 4000
_READ_WAIT_MS = 1000  # without records: how soon a lost session is noticed
_FIRST_READ_WAIT_MS = 200
_PATIENCE_SECONDS = 0.3  # for a small batch: one entry costs as much as a hundred
_PUBLISH_EVERY = 0.9  # at least; a checkpoint per second is guaranteed while records come
_LAST_PUBLISH_SECONDS = 5.0
_WAIT_FOR_LOCK = 1.0
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 5.0
_HEALTHY_SECONDS = 30.0
# A refusal is kept until a person comes: a new leader may for a moment not show its last records.
_LOOKS, _LOOK_AGAIN_SECONDS = 3, 1.0
_GAPS_EVERY = 5.0
_GAPS_REPORTED_AT_ONCE = 500
GAP_PAUSE = dt.timedelta(seconds=60)


class Writer:
    """Owns the log while it holds the lock.

    `signer` holds the log's key, `keys` wraps those of subjects, `files` is the published folder. `health`
    says whether it works; `log_size` notifies readers in this process. Missing events are reported once they
    have been missing for `gap_pause`.
    """

    def __init__(
        self,
        database: Database,
        signer: Signer,
        keys: KeyBox,
        files: LogFiles,
        *,
        gap_pause: dt.timedelta = GAP_PAUSE,
    ) -> None:
        self._database = database
        self._signer = signer
        self._keys = keys
        self._files = files
        self._gap_pause = gap_pause
        self._topics = [topic_name(database.settings.topic_namespace, name) for name in TOPICS]
        self._case_check = CaseCheck(database, topic_name(database.settings.topic_namespace, "inquiry"))
        self.log_size = LogSizeNotifier()
        self.health = WriterHealth()

    async def run(self) -> None:
        """Runs until cancelled. A broken log is not written to; the service is not ready meanwhile."""
        wait = _FIRST_WAIT
        while True:
            began = time.monotonic()
            try:
                await self._own()
            except LogError as error:
                self.health.broken(str(error))
                log.critical("the log is broken: nothing is signed", reason=str(error))
            except Exception as error:
                if not is_passing(error, KafkaError, Stale):
                    raise
                self.health.waits(f"the writer waits: {type(error).__name__}")
                log.warning("log writer waits", error=repr(error))
            if time.monotonic() - began > _HEALTHY_SECONDS:
                wait = _FIRST_WAIT
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _own(self) -> None:
        connection = await self._database.connect()
        try:
            while not await try_lock(connection, LOCK):
                refusals = await queries.open_refusals(connection)
                self.health.waits_for_lock(str(LogRefused(refusals)) if refusals else None)
                await asyncio.sleep(_WAIT_FOR_LOCK)
            try:
                await self._write(connection)
            except LogRefused as error:
                # In a transaction of its own: what shows it now may have changed by the next start.
                await queries.keep_refusals(self._database.pool, error.refusals, machine_now())
                raise
        finally:
            # Frees the lock at once, even if the connection hangs.
            connection.terminate()

    async def _write(self, connection: asyncpg.Connection) -> None:
        published = await asyncio.to_thread(self._files.checkpoint)
        verifier = self._signer.verifier
        sequencer = await Sequencer.open(connection, verifier, self._keys, published)
        log.info("log writer started", size=sequencer.size)
        LOG_SIZE.set(sequencer.size)
        committed = asyncio.Event()
        work = {
            asyncio.create_task(self._append_records(connection, sequencer, committed)),
            asyncio.create_task(self._publish_growth(committed)),
            asyncio.create_task(self._watch_gaps()),
            asyncio.create_task(self._case_check.run()),
        }
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except asyncio.CancelledError:
            await _end(work, connection)
            await self._publish_rest()
            raise
        finally:
            self.health.stopped()
            LOG_MISSING.set(0)  # the next writer reports them
            await _end(work, connection)

    async def _append_records(
        self, connection: asyncpg.Connection, sequencer: Sequencer, committed: asyncio.Event
    ) -> None:
        access = self._database.settings.kafka
        reader = WatchedReader(access, "civicloom-audit-log", self._topics, patience=_PATIENCE_SECONDS)
        try:
            # Reading begins first, so that the log cannot be exchanged unseen between this check and a fetch.
            begin = {partition: cursor.next for partition, cursor in sequencer.cursors.items()}
            await keep_alive(connection, reader.start(begin))
            gaps = await keep_alive(connection, self._check_log(reader, sequencer))
            if gaps:
                await sequencer.skip(gaps)
                report_lost(gaps)
            await self._follow(reader, connection, sequencer, committed)
        finally:
            await reader.stop()

    async def _check_log(self, reader: WatchedReader, sequencer: Sequencer) -> list[OffsetGap]:
        """Compares what was logged with what the broker has. Raises LogRefused if it is not the same log."""
        cursors = {one: cursor for one, cursor in sequencer.cursors.items() if one[0] in self._topics}
        if not cursors:
            return []
        last = {one: None if cursor.last is None else cursor.last.offset for one, cursor in cursors.items()}
        for look in range(1, _LOOKS + 1):
            found = await read_log_states(self._database.settings.kafka, "civicloom-audit-log", last)
            if silent := cursors.keys() & reader.partitions() - found.keys():
                raise LogInDoubt(f"no leader answers for {sorted(silent)}")
            try:
                return check_partitions(cursors, found)
            except LogRefused:
                if look == _LOOKS:
                    raise
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        raise AssertionError("the last look answers or raises")

    async def _follow(
        self,
        reader: WatchedReader,
        connection: asyncpg.Connection,
        sequencer: Sequencer,
        committed: asyncio.Event,
    ) -> None:
        offsets = {partition: cursor.next for partition, cursor in sequencer.cursors.items()}
        appending: asyncio.Task[None] | None = None
        wait_ms = _FIRST_READ_WAIT_MS
        try:
            while True:
                # The next batch is read and parsed while the previous one is committed.
                records = await reader.read(_BATCH, wait_ms)
                wait_ms = _READ_WAIT_MS
                advance_offsets(records, offsets)
                prepared = await prepare_ahead(records)
                if appending is not None:
                    await appending
                    appending = None
                if prepared:
                    appending = asyncio.create_task(self._append(sequencer, prepared, committed))
                else:
                    await ping(connection)  # also finds out that the session with the lock is gone
                    self.health.good()
        finally:
            if appending is not None:
                appending.cancel()
                await asyncio.gather(appending, return_exceptions=True)

    async def _append(
        self, sequencer: Sequencer, prepared: Sequence[PreparedRecord], committed: asyncio.Event
    ) -> None:
        started = time.perf_counter()
        appended = await sequencer.append(prepared)
        LOG_BATCH_SECONDS.observe(time.perf_counter() - started)
        count(appended)
        self.health.good()
        if appended.size > appended.first:
            LOG_SIZE.set(appended.size)
            committed.set()
            self.log_size.notify()

    async def _publish_growth(self, committed: asyncio.Event) -> None:
        """Copies what is committed to the files. A full disk does not stop the logging."""
        while True:
            began = time.monotonic()
            committed.clear()
            try:
                async with self._database.pool.acquire() as connection:
                    LOG_PUBLISHED.set(await publish(connection, self._files, self._signer))
            except Exception as error:
                if not is_passing(error):
                    raise
                self.health.unpublished(f"publishing waits: {error}")
                log.warning("publishing the log waits", error=repr(error))
                await asyncio.sleep(_LONGEST_WAIT)
                continue
            self.health.unpublished(None)
            await asyncio.sleep(max(0.0, began + _PUBLISH_EVERY - time.monotonic()))
            await committed.wait()

    async def _publish_rest(self) -> None:
        """An orderly stop leaves nothing unsigned: a release before 2026-12 takes no such log over."""
        try:
            async with asyncio.timeout(_LAST_PUBLISH_SECONDS), self._database.pool.acquire() as connection:
                LOG_PUBLISHED.set(await publish(connection, self._files, self._signer))
        except Exception as error:
            if not (is_infrastructure(error) or isinstance(error, LogError)):
                raise
            log.warning("the last entries are not published: the next writer does it", error=repr(error))

    async def _watch_gaps(self) -> None:
        """Reports events that stay missing; what comes late closes its gap."""
        pool = self._database.pool
        while True:
            try:
                before = machine_now() - self._gap_pause
                for subject, gap in await queries.report_gaps(pool, before, _GAPS_REPORTED_AT_ONCE):
                    LOG_LOST.labels("sequence").inc(gap.missing)
                    log.critical(
                        "events are missing",
                        subject=subject,
                        source=gap.source,
                        sequences=gap.sequences,
                        entry=gap.entry,
                    )
                LOG_MISSING.set(await queries.missing_events(pool, before))
            except Exception as error:
                if not is_passing(error):
                    raise
                log.warning("gaps of the log are not watched", error=repr(error))
            await asyncio.sleep(_GAPS_EVERY)


async def _end(work: Iterable[asyncio.Task[None]], connection: asyncpg.Connection) -> None:
    connection.terminate()  # else an append on a hung connection could not be cancelled
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)


def count(appended: Appended) -> None:
    """Counts the records of a batch by outcome."""
    LOG_RECORDS.labels("logged").inc(appended.size - appended.first)
    LOG_RECORDS.labels("duplicate").inc(appended.duplicates)
    LOG_RECORDS.labels("late").inc(appended.late)
    LOG_RECORDS.labels("incident").inc(appended.incidents)
    LOG_RECORDS.labels("unparseable").inc(appended.unparseable)
    LOG_RECORDS.labels("words_refused").inc(appended.words_refused)


def report_lost(gaps: Sequence[OffsetGap]) -> None:
    """Counts and names what the broker deleted before it was logged."""
    for gap in gaps:
        LOG_LOST.labels("offset").inc(gap.end - gap.first)
        log.critical("records are gone", **gap._asdict())
