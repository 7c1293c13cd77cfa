"""One service as one process: HTTP, consumers, relay, timers, parked keys, and what is its own.

`services/<name>/app.py` gives `build`, an async function from database and settings to `Parts`;
`services/<name>/__main__.py` is `main("<name>", build)`.
"""

import asyncio
import datetime as dt
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import uvicorn
import uvloop
from fastapi import APIRouter, FastAPI
from pydantic import ValidationError

from shared.clock import machine_now
from shared.contracts import registry as _registry  # noqa: F401  (registers every type)
from shared.contracts.addresses import topic_name
from shared.inbox.consumer import Consumer
from shared.inbox.handlers import Handlers
from shared.inbox.parking import Parking
from shared.inbox.watermark import Watermark
from shared.infrastructure import is_infrastructure, is_passing
from shared.kafka.client import Producer
from shared.logs import get_logger, setup_logs
from shared.outbox.relay import DeliveryLock, OnDelivered, Relay
from shared.packs import open_pack
from shared.settings import CoreSettings, ServiceName
from shared.unit_of_work.database import Database
from shared.unit_of_work.idempotency import prune_keys
from shared.unit_of_work.timers import Timers
from shared.unit_of_work.transaction import prune_processed_actions
from shared.web.app import create_app
from shared.web.health import Reasons, none
from shared.web.i18n import LANGUAGES
from shared.web.pages import Pages
from shared.web.settings import WebSettings

log = get_logger(__name__)

Loop = Callable[[], Awaitable[None]]

_KEEP_PROCESSED = dt.timedelta(days=35)  # as long as Kafka keeps records that could be delivered again


def _no_timers(_: Timers) -> None:
    return


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service consists of beside the core. `topics` are logical names; `pattern` is a regular
    expression over topic names, for a second consumer (routing's actions); `loops` run until cancelled;
    `ready` names what of its own is not ready, `degraded` what waits while the service works. `context` is
    what its routes work with (`app.state.context`)."""

    title: str
    routers: Sequence[APIRouter]
    handlers: Handlers = field(default_factory=Handlers)
    topics: Sequence[str] = ()
    pattern: str | None = None
    register_timers: Callable[[Timers], None] = _no_timers
    on_delivered: OnDelivered | None = None
    delivery_lock: DeliveryLock | None = None
    loops: Sequence[Loop] = ()
    ready: Reasons = none
    degraded: Reasons = none
    pages: Pages | None = None
    context: object = None


Build = Callable[[Database, CoreSettings], Awaitable[Parts]]


class Service:
    """The running parts of one service. Construct inside a running loop, on an open database."""

    def __init__(self, database: Database, parts: Parts) -> None:
        self.database = database
        self.parts = parts
        settings = database.settings
        self.producer = Producer(settings.kafka_bootstrap, f"civicloom-{settings.service}")
        self.relay = Relay(
            database, self.producer, on_delivered=parts.on_delivered, delivery_lock=parts.delivery_lock
        )
        self.consumers: list[Consumer] = []
        self.parking: list[Parking] = []
        if parts.topics:
            names = [topic_name(settings.topic_namespace, topic) for topic in parts.topics]
            self._consume(settings.service, topics=names)
        if parts.pattern:
            self._consume(f"{settings.service}.actions", pattern=parts.pattern)
        self.watermark = Watermark(database, self.consumers)
        self.timers = Timers(database, watermark_lag=self.watermark.lag)
        parts.register_timers(self.timers)

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
        # Not left to the environment: LANGUAGE belongs to gettext and may hold anything.
        return WebSettings(language=language, time_zone=pack.timezone)

    async def run_loops(self) -> None:
        """Everything but HTTP, until cancelled. An error that nobody expected ends all, loudly."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.relay.run(), name="relay")
                for consumer in self.consumers:
                    group.create_task(consumer.run(), name="consumer")
                for parking in self.parking:
                    group.create_task(parking.run(), name="parking")
                group.create_task(self.watermark.run(), name="unread")
                group.create_task(self.timers.run(), name="timers")
                group.create_task(self._housekeeping(), name="housekeeping")
                for loop in self.parts.loops:
                    group.create_task(_as_coroutine(loop), name="loop")
        finally:
            await self.producer.stop()

    async def unready(self) -> dict[str, str]:
        """What is not ready, by part; empty if all is."""
        missing: dict[str, str] = {}
        try:
            await self.database.ping()
        except Exception as error:
            if not is_infrastructure(error):
                raise
            missing["database"] = type(error).__name__
        for consumer in self.consumers:
            if consumer.lag() is None:
                missing["kafka"] = "no partitions are assigned yet"
        return missing | await self.parts.ready()

    async def degraded(self) -> dict[str, str]:
        """What waits or is worth a look while all else works: a topic that refuses holds no other one up."""
        waits: dict[str, str] = {}
        if self.relay.paused_topics:
            waits["outbox"] = f"paused: {', '.join(self.relay.paused_topics)}"
        if truncated := sorted({one for consumer in self.consumers for one in consumer.truncated_topics}):
            waits["kafka"] = f"lost records that were read: {', '.join(truncated)}"
        return waits | await self.parts.degraded()

    def _consume(self, name: str, *, topics: Sequence[str] = (), pattern: str | None = None) -> None:
        handlers = self.parts.handlers
        self.consumers.append(Consumer(self.database, handlers, name=name, topics=topics, pattern=pattern))
        self.parking.append(Parking(self.database, name, handlers))

    async def _housekeeping(self) -> None:
        while True:
            try:
                now = machine_now()
                await prune_keys(self.database.pool, now)
                await prune_processed_actions(self.database.pool, now - _KEEP_PROCESSED)
            except Exception as error:
                if not is_passing(error):
                    raise
                log.warning("housekeeping waits", error=repr(error))
            await asyncio.sleep(600)


async def _as_coroutine(loop: Loop) -> None:
    await loop()


async def _open(settings: CoreSettings) -> Database:
    wait = 0.5
    while True:
        try:
            return await Database.open(settings)
        except Exception as error:
            if not is_passing(error):
                raise
            log.warning("database is not there yet", error=repr(error))
            await asyncio.sleep(wait)
            wait = min(wait * 2, 5)


async def serve(settings: CoreSettings, build: Build) -> int:
    """Runs the service until SIGTERM or SIGINT; the exit code."""
    database = await _open(settings)
    service = Service(database, await build(database, settings))
    server = uvicorn.Server(
        uvicorn.Config(
            service.web(),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=3,
            server_header=False,
            proxy_headers=True,
            forwarded_allow_ips=settings.trusted_proxies,
        )
    )
    # Ours, not uvicorn's: it would raise the signal again after it has ended, before we have.
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


def _stop(server: uvicorn.Server) -> None:
    server.should_exit = True


def main(service: ServiceName, build: Build) -> None:
    """The process: settings, logs, loop. Exits 2 with a sentence if the settings are bad."""
    try:
        settings = CoreSettings.for_service(service)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"]).upper()
        print(f"{service}: setting {name}: {first['msg']}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    setup_logs(service, settings.log_level)
    # A batch makes tens of thousands of objects and drops them all: to look for cycles every 700 finds none.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    sys.exit(uvloop.run(serve(settings, build)))
