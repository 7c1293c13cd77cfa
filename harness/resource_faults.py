"""Takes memory, descriptors, disks and locks away from a running installation, and gives them back.

Each fault lasts until its event `enough` is set, and without one for the seconds that all of them last.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random  # noqa: TID251  (seeded: a run can be repeated)
from typing import Any, Protocol

import asyncpg

from deploy.local.process import Child
from harness.disks import Disk
from harness.installation import Copy, Installation, NotReady
from harness.limits import few_descriptors, little_memory
from shared.settings import ServiceName

_ENOUGH_SECONDS = 60.0
_AGAIN_SECONDS = 0.1
_END_SECONDS = 30.0
_BACK_SECONDS = 120.0
_CONNECTIONS = 30
_TABLES = ("aggregate", "outbox", "cursor")
Limit = Callable[[int], AbstractContextManager[None]]


class Server(Protocol):
    """A server of our own on a disk of its own. It ends by itself when it cannot write."""

    child: Child | None

    def kill(self) -> None: ...

    def start(self) -> object: ...


@dataclass(frozen=True, slots=True)
class Disks:
    """Disks of their own for the broker, for the database with its journal, and for the published log."""

    broker: Disk
    database: Disk
    log: Disk

    @property
    def all(self) -> Sequence[Disk]:
        return self.broker, self.database, self.log


class ResourceFaults:
    """Faults of what an installation lives on, `seconds` each. `disks` is None if it has none of its own.

    A server is started in the event loop's thread, as in `harness.faults`.
    """

    def __init__(
        self,
        installation: Installation,
        random: Random,
        *,
        seconds: float = 5,
        broker: Server | None = None,
        database: Server | None = None,
        disks: Disks | None = None,
    ) -> None:
        self._installation = installation
        self._random = random
        self._seconds = seconds
        self._broker = broker
        self._database = database
        self._disks = disks

    @property
    def all(self) -> list[Callable[..., Coroutine[Any, Any, None]]]:
        """Every fault that can be injected here."""
        disks = (self.fill_log_disk, self.fill_database_disk, self.fill_journal, self.fill_broker_disk)
        limits = (self.take_descriptors, self.take_memory, self.hold_a_table, self.queue_behind_a_reader)
        return [*limits, *(disks if self._disks and self._broker and self._database else ())]

    async def take_descriptors(
        self, services: Sequence[ServiceName] | None = None, enough: asyncio.Event | None = None
    ) -> None:
        """A copy of some services can open nothing more, and has to: its sessions are cut, callers come."""
        async with self._short(services, few_descriptors) as copies:
            callers = [caller for copy in copies for caller in await _call(copy)]
            await self._installation.cut_sessions()
            await self._wait(enough)
            for caller in callers:
                caller.close()

    async def take_memory(
        self, services: Sequence[ServiceName] | None = None, enough: asyncio.Event | None = None
    ) -> None:
        """A copy of some services gets no more memory. It may end, and is started again then."""
        async with self._short(services, little_memory):
            await self._installation.cut_sessions()
            await self._wait(enough)

    async def hold_a_table(
        self,
        service: ServiceName | None = None,
        table: str | None = None,
        enough: asyncio.Event | None = None,
    ) -> None:
        """A session of somebody else locks a table of the core and says nothing."""
        connection = await asyncpg.connect(self._installation.database_url, timeout=5)
        try:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {self._table(service, table)}")
                await self._wait(enough)
        finally:
            await connection.close()

    async def queue_behind_a_reader(
        self,
        service: ServiceName | None = None,
        table: str | None = None,
        enough: asyncio.Event | None = None,
    ) -> None:
        """An ALTER TABLE waits behind a reader who says nothing, and everybody behind the ALTER TABLE."""
        name = self._table(service, table)
        reader = await asyncpg.connect(self._installation.database_url, timeout=5)
        alters = await asyncpg.connect(self._installation.database_url, timeout=5)
        try:
            await reader.execute(f"BEGIN; SELECT FROM {name} LIMIT 1")
            altering = asyncio.create_task(alters.execute(f"ALTER TABLE {name} SET (fillfactor = 100)"))
            await self._wait(enough)
            await reader.execute("COMMIT")
            await altering
        finally:
            reader.terminate()
            alters.terminate()

    async def fill_log_disk(self, enough: asyncio.Event | None = None) -> None:
        """Nothing can be published of the log."""
        async with _full(self._required_disks().log):
            await self._wait(enough)

    async def fill_database_disk(self, enough: asyncio.Event | None = None) -> None:
        """No table of the database can grow."""
        async with _full(self._required_disks().database):
            await self._wait(enough)
        self._start(self._database)  # its journal may have met the end of the disk as well

    async def fill_journal(self, enough: asyncio.Event | None = None) -> None:
        """The database's journal finds no place: the server crashes, and cannot come back before there is."""
        async with _full(self._required_disks().database):
            async with asyncio.timeout(_END_SECONDS):
                await self._write_until_it_crashes()
            await self._wait(enough)
        self._start(self._database)

    async def fill_broker_disk(self, enough: asyncio.Event | None = None) -> None:
        """The broker ends, and is started again once there is space."""
        broker = self._broker
        assert broker is not None  # noqa: S101
        async with _full(self._required_disks().broker):
            async with asyncio.timeout(_END_SECONDS):
                while broker.child is not None and broker.child.returncode is None:
                    await asyncio.sleep(_AGAIN_SECONDS)
            await self._wait(enough)
        self._start(broker)

    @asynccontextmanager
    async def _short(self, services: Sequence[ServiceName] | None, limit: Limit) -> AsyncIterator[list[Copy]]:
        """One copy of each of these services under a limit; afterwards all of them are ready again."""
        chosen = services or self._installation.services
        copies = [self._any_copy(service) for service in chosen]
        with ExitStack() as limits:
            for copy in copies:
                if copy.child is not None and copy.running:
                    copy.expected_down = True  # it may end of it, now or soon afterwards
                    limits.enter_context(limit(copy.child.pid))
            yield copies
        async with asyncio.timeout(_BACK_SECONDS):
            for copy in copies:
                await self._tend(copy)

    async def _tend(self, copy: Copy) -> None:
        """Starts the copy again whenever it has ended, as a supervisor does, until it is ready."""
        while True:
            if not copy.running:
                self._installation.start(copy.service, copy.number)
            try:
                await self._installation.ready([copy], seconds=2)
            except NotReady:
                continue
            copy.expected_down = False
            return

    def _any_copy(self, service: ServiceName) -> Copy:
        return self._random.choice([one for one in self._installation.copies if one.service == service])

    def _table(self, service: ServiceName | None, table: str | None) -> str:
        owner = service or self._random.choice(self._installation.services)
        return f"{owner}.{table or self._random.choice(_TABLES)}"

    async def _write_until_it_crashes(self) -> None:
        """Begins one segment of the journal after another."""
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            connection = await asyncpg.connect(self._installation.database_url, timeout=5)
            while True:
                await connection.execute("SELECT pg_logical_emit_message(true, 'chaos', repeat('x', 9000))")
                await connection.execute("SELECT pg_switch_wal()")

    async def _wait(self, enough: asyncio.Event | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds if enough is None else _ENOUGH_SECONDS):
                await (enough or asyncio.Event()).wait()

    def _required_disks(self) -> Disks:
        assert self._disks is not None, "this fault needs disks of the run's own"  # noqa: S101
        return self._disks

    @staticmethod
    def _start(server: Server | None) -> None:
        """Returns when it answers, whether it has ended meanwhile or not."""
        assert server is not None  # noqa: S101
        server.start()


@asynccontextmanager
async def _full(disk: Disk) -> AsyncIterator[None]:
    """The disk stays full while the body runs, whatever is deleted there."""

    async def keep_full() -> None:
        while True:
            disk.fill()
            await asyncio.sleep(_AGAIN_SECONDS)

    disk.fill()
    keeping = asyncio.create_task(keep_full())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        disk.free()
    if not keeping.cancelled():
        keeping.result()  # why it could not be kept full


async def _call(copy: Copy) -> list[asyncio.StreamWriter]:
    """Connections that stay open and say nothing, as many as the copy takes."""
    callers = []
    for _ in range(_CONNECTIONS):
        with suppress(OSError):
            _, caller = await asyncio.open_connection("127.0.0.1", copy.port)
            callers.append(caller)
    return callers
