"""Sends the log as spans to an OpenTelemetry collector, with the log's index as cursor.

The cursor moves once the collector has accepted everything before it: no span is lost or out of order, and
after a crash some spans are sent again with the same ids. The exporter only reads the log; an unreachable
collector, or a fault in the exporter, delays nothing else.
"""

import asyncio
import secrets
import zlib
from collections.abc import Sequence
from contextlib import suppress

import asyncpg

from services.audit.log_size import LogSizeNotifier
from services.audit.queries import log_size as read_log_size
from services.audit.queries import try_lock
from services.audit.tracing import queries
from services.audit.tracing.collector import Accepted, Collector, Retry
from services.audit.tracing.metrics import TRACE_EXPORT_BEHIND, TRACE_SPANS
from services.audit.tracing.read import read_log
from services.audit.tracing.spans import Span
from shared.errors import Stale
from shared.infrastructure import is_passing
from shared.logs import get_logger
from shared.unit_of_work.database import Database
from shared.unit_of_work.sessions import keep_alive

log = get_logger(__name__)

LOCK = zlib.crc32(b"trace exporter") & 0x7FFFFFFF
_BATCH = 500  # entries a request: some 700 kB, where collectors take 20 MB
# An event may be logged just before its cause, since topics are read in parallel.
_SETTLE_SECONDS = 1.0
_POLL_SECONDS = 1.0
_WAIT_FOR_LOCK = 1.0
_FIRST_WAIT, _LONGEST_WAIT, _LONGEST_ASKED = 0.5, 30.0, 300.0


class Exporter:
    """Follows the log while it holds the lock; `url` and `headers` are the collector's."""

    def __init__(
        self, database: Database, log_size: LogSizeNotifier, url: str, headers: dict[str, str]
    ) -> None:
        self._database = database
        self._log_size = log_size
        self._url = url
        self._headers = headers

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                await self._own()
            except Exception as error:
                # Any error: telemetry must not end the process that writes the log.
                if is_passing(error, Stale):
                    log.warning("trace exporter starts again", error=repr(error))
                else:
                    log.exception("trace exporter fails", error=type(error).__name__)
            await asyncio.sleep(_LONGEST_WAIT / 10)

    async def _own(self) -> None:
        connection = await self._database.connect()
        try:
            while not await try_lock(connection, LOCK):
                await asyncio.sleep(_WAIT_FOR_LOCK)
            await queries.avoid_scans(connection)
            async with Collector(self._url, self._headers) as collector:
                await _Run(connection, collector, self._log_size).follow()
        finally:
            TRACE_EXPORT_BEHIND.set(0)  # the next owner reports it
            connection.terminate()


class _Run:
    """One possession of the lock."""

    def __init__(
        self, connection: asyncpg.Connection, collector: Collector, log_size: LogSizeNotifier
    ) -> None:
        self._connection = connection
        self._collector = collector
        self._log_size = log_size
        self._next = 0
        self._batch = _BATCH

    async def follow(self) -> None:
        self._next = await queries.begin_export(self._connection)
        log.info("trace exporter started", index=self._next)
        while True:
            grown = self._log_size.next()
            size = await self._measure()
            if size <= self._next:
                # Another process may write the log, so our own notification is only the quick way.
                # (`wait_for` of Python 3.11 would swallow a cancellation that comes together with it.)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_SECONDS):
                        await grown.wait()
            else:
                await asyncio.sleep(_SETTLE_SECONDS)
                while self._next < size:
                    await self._export(min(size, self._next + self._batch))

    async def _export(self, end: int) -> None:
        found = await read_log(self._connection, self._next, end)
        if found and not await self._send(found):
            return
        if not await queries.advance_export(self._connection, self._next, end):
            raise Stale("another copy exports traces")
        self._next = end
        await self._measure()

    async def _send(self, found: Sequence[Span]) -> bool:
        """Retries until the collector has accepted them; False if they must be sent in smaller batches."""
        wait = _FIRST_WAIT
        while isinstance(answer := await self._post(found), Retry):
            if answer.too_large and self._batch > 1:
                self._batch = max(1, self._batch // 2)
                return False
            # Half of it random, so that many clients do not return at the same moment.
            pause = wait / 2 * (1 + secrets.randbelow(1000) / 1000)
            pause = max(pause, min(answer.after or 0, _LONGEST_ASKED))
            log.warning("trace export waits", reason=answer.reason, seconds=round(pause, 1), index=self._next)
            await keep_alive(self._connection, asyncio.sleep(pause))
            wait = min(wait * 2, _LONGEST_WAIT)
            await self._measure()
        TRACE_SPANS.labels("taken").inc(len(found) - answer.refused)
        if answer.refused:
            TRACE_SPANS.labels("refused").inc(answer.refused)
            log.warning("spans are refused", count=answer.refused, reason=answer.reason, index=self._next)
        return True

    async def _post(self, found: Sequence[Span]) -> Accepted | Retry:
        return await keep_alive(self._connection, self._collector.post(found))

    async def _measure(self) -> int:
        """The size of the log; also a check that the session with the lock is alive."""
        size = await read_log_size(self._connection)
        TRACE_EXPORT_BEHIND.set(max(0, size - self._next))
        return size
