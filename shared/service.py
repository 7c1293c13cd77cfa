"""One service as one process: HTTP, consumers, relay, timers, retries of parked keys, and its own loops.

`services/<name>/app.py` has `build`, an async function from database and settings to `Parts`;
`services/<name>/__main__.py` calls `main("<name>", build, <its settings class>)`.
"""

import asyncio
import datetime as dt
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import uvicorn
import uvloop
from fastapi import APIRouter, FastAPI
from pydantic import ValidationError

from shared.clock import machine_now
from shared.contracts import registry as _registry  # noqa: F401  (registers every type)
from shared.contracts.addresses import topic_name
from shared.inbox.consumer import Consumer
from shared.inbox.dead_letters import prune_dead_letters
from shared.inbox.handlers import Handlers
from shared.inbox.parking import Parking
from shared.inbox.topic_losses import TopicLosses
from shared.inbox.watermark import Watermark
from shared.infrastructure import is_passing
from shared.kafka.broker_probe import BrokerProbe
from shared.kafka.client import Producer
from shared.logs import get_logger, setup_logs
from shared.outbox.age import OutboxAge
from shared.outbox.fence import Fence
from shared.outbox.relay import DeliveryLock, OnDelivered, Relay
from shared.packs import open_pack
from shared.settings import CoreSettings, ServiceName, describe_fault
from shared.unanswered import UnansweredWatch
from shared.unit_of_work.database import Database
from shared.unit_of_work.idempotency import prune_keys
from shared.unit_of_work.timers import Timers, adopt_timers
from shared.unit_of_work.transaction import prune_processed_actions
from shared.unit_of_work.write_probe import WriteProbe
from shared.watchdog import Watchdog
from shared.web.app import create_app
from shared.web.health import Reasons, none
from shared.web.i18n import LANGUAGES
from shared.web.pages import Pages
from shared.web.settings import WebSettings

log = get_logger(__name__)

Loop = Callable[[], Awaitable[None]]

_UNANSWERED_SECONDS = 15
_KEEP_PROCESSED = dt.timedelta(days=35)  # as long as Kafka keeps records that could be delivered again


def _no_timers(_: Timers) -> None:
    return


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a service that are its own.

    `topics` are logical names, `patience` how many seconds their events may wait (see `Consumer`);
    `also_reads` are those that the service's own loops read. `pattern` is a regular expression over topic
    names, for a second consumer (routing's actions). `on_delivered` and
    `delivery_lock` go to the relay. `loops` run until cancelled. `ready` returns the service's own parts that
    are not ready, `degraded` those that wait while the service works. Routes find `context` in
    `app.state.context`.
    """

    title: str
    routers: Sequence[APIRouter]
    handlers: Handlers = field(default_factory=Handlers)
    topics: Sequence[str] = ()
    patience: float = 0.0
    also_reads: Sequence[str] = ()
    pattern: str | None = None
    register_timers: Callable[[Timers], None] = _no_timers
    on_delivered: OnDelivered | None = None
    delivery_lock: DeliveryLock | None = None
    loops: Sequence[Loop] = ()
    ready: Reasons = none
    degraded: Reasons = none
    pages: Pages | None = None
    context: object = None


S = TypeVar("S", bound=CoreSettings)
Build = Callable[[Database, S], Awaitable[Parts]]


class Service:
    """The running parts of one service. Construct it in a running event loop, on an open database."""

    def __init__(self, database: Database, parts: Parts) -> None:
        self.database = database
        self.parts = parts
        settings = database.settings
        self.producer = Producer(settings.kafka, f"civicloom-{settings.service}")
        self.fence = Fence(database)
        self.relay = Relay(
            database,
            self.producer,
            on_delivered=parts.on_delivered,
            delivery_lock=parts.delivery_lock,
            fence=self.fence,
        )
        self.outbox_age = OutboxAge(database)
        self.consumers: list[Consumer] = []
        self.parking: list[Parking] = []
        if parts.topics:
            names = [topic_name(settings.topic_namespace, topic) for topic in parts.topics]
            self._consume(settings.service, topics=names, patience=parts.patience)
        if parts.pattern:
            self._consume(f"{settings.service}.actions", pattern=parts.pattern)
        self._topic_losses = TopicLosses(database)
        self._losses: list[str] = []
        self.watermark = Watermark(database, self.consumers)
        self.unanswered = UnansweredWatch(database)
        self.timers = Timers(database, watermark_lag=self.watermark.lag)
        parts.register_timers(self.timers)
        needed = {settings.service, *parts.topics, *parts.also_reads}
        self.broker = BrokerProbe(
            settings.kafka, [topic_name(settings.topic_namespace, one) for one in needed]
        )
        self.writes = WriteProbe(database.pool)

    def web(self) -> FastAPI:
        """The ASGI application."""
        settings = self.database.settings
        return create_app(
            settings.service,
            title=self.parts.title,
            routers=self.parts.routers,
            settings=self._web_settings(),
            ready=self.unready,
            degraded=self.degraded,
            pages=self.parts.pages,
            unit_name=open_pack(settings).unit_name,
            context=self.parts.context,
        )

    def _web_settings(self) -> WebSettings:
        pack = open_pack(self.database.settings)
        language = pack.language[:2] if pack.language[:2] in LANGUAGES else "en"
        return WebSettings.of(self.database.settings, language=language, time_zone=pack.timezone)

    async def run_loops(self) -> None:
        """Runs everything except HTTP until cancelled. An unexpected error of one loop ends all of them.

        What acts on the tables begins when they have been found complete.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_lasting(self.relay.run), name="relay")
                group.create_task(_lasting(self.outbox_age.run), name="outbox age")
                group.create_task(_lasting(self.broker.run), name="broker probe")
                group.create_task(_lasting(self.fence.run), name="fence")
                # Only reads, and shows meanwhile that nothing is applied.
                group.create_task(_lasting(self.watermark.run), name="watermark")
                await self.fence.passed.wait()
                for consumer in self.consumers:
                    group.create_task(_lasting(consumer.run), name="consumer")
                for parking in self.parking:
                    group.create_task(_lasting(parking.run), name="parking")
                if self.parts.register_timers is not _no_timers:
                    group.create_task(_lasting(self.timers.run), name="timers")
                group.create_task(_lasting(self._housekeeping), name="housekeeping")
                group.create_task(_lasting(self._watch_unanswered), name="unanswered")
                group.create_task(_lasting(self._watch_losses), name="topic losses")
                for loop in self.parts.loops:
                    group.create_task(_lasting(loop), name="loop")
        finally:
            await self.producer.stop()

    async def unready(self) -> dict[str, str]:
        """The reason by part that is not ready; empty if all are ready."""
        missing: dict[str, str] = {}
        if fault := await self.writes.fault():
            missing["database"] = f"it takes no writes: {fault}"
        if self.broker.silent_seconds > self.database.settings.broker_silence_seconds:
            reason = f": {self.broker.refusal}" if self.broker.refusal else ""
            missing["kafka"] = f"no broker has answered for {self.broker.silent_seconds:.0f} s{reason}"
        elif any(consumer.lag() is None for consumer in self.consumers):
            away = (
                f", and these topics are away: {', '.join(self.broker.missing)}"
                if self.broker.missing
                else ""
            )
            missing["kafka"] = f"no partitions are assigned yet{away}"
        if self.database.refusal is not None:
            missing["restore"] = self.database.refusal
        return missing | await self.parts.ready()

    async def degraded(self) -> dict[str, str]:
        """The reason by part that waits, or needs a look, while the rest works: such as a paused topic."""
        waits: dict[str, str] = {}
        if self.relay.paused_topics:
            waits["outbox"] = f"paused: {', '.join(self.relay.paused_topics)}"
        if held := self.relay.held_topics:
            waits["topics"] = "; ".join(f"{topic} {reason}" for topic, reason in held.items())
        if self.broker.missing:
            waits["broker"] = f"topics are away: {', '.join(self.broker.missing)}"
        if flooded := [topic for consumer in self.consumers for topic in consumer.paused.topics]:
            waits["flood"] = f"paused, since too many records are bad: {', '.join(flooded)}"
        if lost := self._losses:
            waits["kafka"] = f"{'; '.join(lost)}: civicloom losses list"
        if waiting := sorted({topic for one in self.consumers for topic in one.open_transactions.shown()}):
            waits["transactions"] = (
                f"records wait for their writer's transaction to end: {', '.join(waiting)}"
            )
        return waits | self.unanswered.reasons() | await self.parts.degraded()

    def _consume(
        self, name: str, *, topics: Sequence[str] = (), pattern: str | None = None, patience: float = 0.0
    ) -> None:
        handlers = self.parts.handlers
        self.consumers.append(
            Consumer(self.database, handlers, name=name, topics=topics, pattern=pattern, patience=patience)
        )
        self.parking.append(Parking(self.database, name, handlers))

    async def _watch_losses(self) -> None:
        while True:
            try:
                self._losses = await self._topic_losses.measure()
            except Exception as error:
                if not is_passing(error):
                    raise
                log.debug("topic losses are unknown", error=repr(error))
            await asyncio.sleep(1)

    async def _housekeeping(self) -> None:
        while True:
            try:
                now = machine_now()
                await prune_keys(self.database.pool, now)
                await adopt_timers(self.database.pool)
                await prune_processed_actions(self.database.pool, now - _KEEP_PROCESSED)
                await prune_dead_letters(self.database.pool)
            except Exception as error:
                if not is_passing(error):
                    raise
                log.warning("housekeeping waits", error=repr(error))
            await asyncio.sleep(600)

    async def _watch_unanswered(self) -> None:
        while True:
            try:
                await self.unanswered.check()
            except Exception as error:
                if not is_passing(error):
                    raise
                log.warning("unanswered cases are not counted", error=repr(error))
            await asyncio.sleep(_UNANSWERED_SECONDS)


async def _lasting(loop: Loop) -> None:
    """Raises RuntimeError if the loop is cancelled from within: to a task group that is an orderly end."""
    try:
        await loop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and not task.cancelling():
            raise RuntimeError(f"{loop} was cancelled from within") from None
        raise


async def _open(settings: S, build: Build[S]) -> tuple[Database, Parts]:
    """The database and the service's parts; waits while the database is away, also in the middle."""
    wait = 0.5
    while True:
        try:
            database = await Database.open(settings)
            try:
                return database, await build(database, settings)
            except BaseException:
                await database.close()
                raise
        except Exception as error:
            if not is_passing(error):
                raise
            log.warning("database is away", error=repr(error))
            await asyncio.sleep(wait)
            wait = min(wait * 2, 5)


async def serve(settings: S, build: Build[S]) -> int:
    """Runs the service until SIGTERM or SIGINT; returns the exit code."""
    with Watchdog(settings.service, settings.watchdog_seconds):
        return await _serve(settings, build)


async def _serve(settings: S, build: Build[S]) -> int:
    database, parts = await _open(settings, build)
    service = Service(database, parts)
    server = _server(service.web(), settings)
    # Our handlers, not uvicorn's: it raises the signal again when it has stopped, before our loops have.
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, server)
    loops = asyncio.create_task(service.run_loops())
    loops.add_done_callback(lambda _: _stop(server))
    await server._serve()
    failed = loops.done() and not loops.cancelled() and loops.exception()
    loops.cancel()
    await asyncio.gather(loops, return_exceptions=True)
    await database.close()
    if failed:
        log.error("service ends", error=repr(failed), exc_info=failed)
        return 1
    return 0


def _server(app: FastAPI, settings: CoreSettings) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=3,
            server_header=False,
            proxy_headers=False,  # ForwardedMiddleware reads them
        )
    )


def _stop(server: uvicorn.Server) -> None:
    server.should_exit = True


def main(service: ServiceName, build: Build[S], settings_type: type[S]) -> None:
    """The process: settings, logs, event loop. Exits 2 with one sentence if a setting is wrong."""
    try:
        settings = settings_type.for_service(service)
    except ValidationError as error:
        print(f"{service}: {describe_fault(error)}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    setup_logs(service, settings.log_level)
    # A batch allocates tens of thousands of objects and drops them all; the default collection every 700
    # allocations finds no cycles among them.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    sys.exit(uvloop.run(serve(settings, build)))
