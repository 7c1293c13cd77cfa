"""A whole Civicloom on a given PostgreSQL and Kafka: services as processes, each in as many copies as asked.

Used by chaos, by the tests of the imports and by the bench. Processes end with the process that started them.
"""

import asyncio
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import asyncpg
import httpx

from deploy.local.ports import free_port
from deploy.local.process import Child, spawn, tail
from harness.schema import SECRET, make_topics
from shared.errors import CivicloomError
from shared.kafka_access import KafkaAccess
from shared.migrate import migrate, prepare_roles
from shared.policy.loader import load_pack
from shared.settings import REPOSITORY, SERVICES, ServiceName

_READY_SECONDS = 60.0
_POLL_SECONDS = 0.1
_STOP_SECONDS = 20.0
_PORT_TAKEN = "address already in use"

Command = Callable[[ServiceName], Sequence[str]]


class NotReady(CivicloomError):
    """A copy ended, or did not become ready in time; the message has the end of its log."""


def as_shipped(service: ServiceName) -> Sequence[str]:
    """The process as an operator starts it."""
    return (sys.executable, "-m", f"services.{service}")


@dataclass(slots=True)
class Copy:
    """One process of a service. Once it was ready it keeps its port, and it keeps its log over all restarts.

    `expected_down` is set while it is down on purpose. A rival reads in a consumer group of its own: what it
    owns is owned twice.
    """

    service: ServiceName
    number: int
    log: Path
    is_rival: bool = False
    port: int = field(default_factory=free_port)
    child: Child | None = None
    expected_down: bool = False
    was_ready: bool = False
    log_offset: int = 0
    """Where the log of the present child begins."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self.child is not None and self.child.returncode is None


class Installation:
    """Async context manager; enter it on the main thread, since children end with the thread that made them.

    `admin_url` is a superuser's: the installation makes its own database in that server (`database_url`) and
    drops it at the end; services reach that server by `database_port`, if one is given (a proxy's).
    `namespace` separates its topics on the broker. `environment` is added to that of every process; `command`
    says how a service is started.
    """

    def __init__(
        self,
        admin_url: str,
        access: KafkaAccess,
        folder: Path,
        *,
        namespace: str | None = None,
        pack: str = "cn-city",
        database_port: int | None = None,
        services: Sequence[ServiceName] = SERVICES,
        copies: int = 1,
        clock_file: Path | None = None,
        environment: Mapping[str, str] | None = None,
        command: Command = as_shipped,
        keep_database: bool = False,
    ) -> None:
        token = secrets.token_hex(4)
        self.access = access
        self.folder = folder
        self.namespace = namespace or f"i{token}"
        self.pack = pack
        self.services = tuple(services)
        self.clock_file = clock_file
        self.database_url = urlsplit(admin_url)._replace(path=f"/installation_{token}").geturl()
        self._services_url = self.database_url
        if database_port is not None:
            parts = urlsplit(self.database_url)
            netloc = parts.netloc.replace(f":{parts.port}", f":{database_port}")
            self._services_url = parts._replace(netloc=netloc).geturl()
        self._admin_url = admin_url
        self._environment = dict(environment or {})
        self._command = command
        self._keep_database = keep_database
        self._endings: list[str] = []
        self._copies = {
            service: [Copy(service, number, folder / f"{service}-{number}.log") for number in range(copies)]
            for service in self.services
        }

    @property
    def copies(self) -> list[Copy]:
        """Every copy of every service."""
        return [copy for copies in self._copies.values() for copy in copies]

    @property
    def units(self) -> list[str]:
        """The codes of the units that have topics."""
        return [
            unit.code for unit in load_pack(REPOSITORY / "policies" / self.pack).departments if unit.kafka
        ]

    def copy(self, service: ServiceName, number: int = 0) -> Copy:
        return self._copies[service][number]

    def url(self, service: ServiceName, number: int = 0) -> str:
        """The base address of a copy, without a slash at its end."""
        return self.copy(service, number).url

    async def __aenter__(self) -> Self:
        await self.prepare()
        try:
            for copy in self.copies:
                self.start(copy.service, copy.number)
            await self.ready()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def prepare(self) -> None:
        """Database, roles, migrations and topics; starts nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        await self._execute(f'CREATE DATABASE "{urlsplit(self.database_url).path[1:]}"')
        await prepare_roles(self.database_url)
        for service in self.services:
            await asyncio.to_thread(migrate, self.database_url, service)
        await make_topics(self.access, self.namespace, self.units)

    async def close(self) -> None:
        """Stops every process and drops the database."""
        await self.stop()
        if not self._keep_database:
            await self._execute(
                f'DROP DATABASE IF EXISTS "{urlsplit(self.database_url).path[1:]}" WITH (FORCE)'
            )

    def start(self, service: ServiceName, number: int = 0) -> None:
        """Starts a copy unless it runs, and does not wait until it is ready."""
        copy = self.copy(service, number)
        self._notice_end(copy)
        if not copy.running:
            copy.expected_down = False
            copy.log_offset = copy.log.stat().st_size if copy.log.exists() else 0
            copy.child = spawn(
                f"{service}-{number}",
                self._command(service),
                env=self.environment(copy),
                cwd=REPOSITORY,
                log=copy.log,
            )

    def kill(self, service: ServiceName, number: int = 0) -> None:
        """SIGKILL, as a crash would; a paused copy dies too."""
        copy = self.copy(service, number)
        self._notice_end(copy)
        if copy.child:
            copy.expected_down = True
            copy.child.kill()

    def pause(self, service: ServiceName, number: int = 0) -> None:
        """SIGSTOP: the copy keeps its locks and partitions and does nothing."""
        copy = self.copy(service, number)
        if copy.child:
            copy.child.send(SIGSTOP)

    def resume(self, service: ServiceName, number: int = 0) -> None:
        copy = self.copy(service, number)
        if copy.child:
            copy.child.send(SIGCONT)

    async def end(self, service: ServiceName, number: int = 0) -> None:
        """Stops a copy in order; returns when it has ended."""
        copy = self.copy(service, number)
        self._notice_end(copy)
        if copy.child:
            copy.expected_down = True
            await asyncio.to_thread(copy.child.stop, grace=_STOP_SECONDS)

    async def restart(self, service: ServiceName, number: int = 0) -> None:
        """Stops a copy in order and starts it; returns when it is ready."""
        await self.end(service, number)
        self.start(service, number)
        await self.ready([self.copy(service, number)])

    async def cut_sessions(self, share: float = 1.0) -> None:
        """`pg_terminate_backend` of the services' sessions, each with this probability."""
        connection = await asyncpg.connect(self.database_url, timeout=5)
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name LIKE 'civicloom%' AND random() < $1",
                share,
            )
        finally:
            await connection.close()

    async def stop(self) -> None:
        """Sends SIGTERM to all copies, then waits; paused ones are resumed first."""
        children = []
        for copy in self.copies:
            self._notice_end(copy)
            if copy.child and copy.running:
                copy.expected_down = True
                copy.child.send(SIGCONT)
                children.append(copy.child)
        await asyncio.gather(*(asyncio.to_thread(child.stop, grace=_STOP_SECONDS) for child in children))

    def ended_by_themselves(self) -> list[str]:
        """Every unexpected end of a copy, each with the end of its log at that time."""
        for copy in self.copies:
            self._notice_end(copy)
        return list(self._endings)

    async def ready(self, copies: Sequence[Copy] | None = None, seconds: float = _READY_SECONDS) -> None:
        """Returns when `/readyz` of all `copies` (by default of every one) answers 200. Raises NotReady."""
        async with httpx.AsyncClient(timeout=5) as client:
            await asyncio.gather(
                *(self._ready(client, copy, seconds) for copy in (self.copies if copies is None else copies))
            )

    def environment(self, copy: Copy) -> dict[str, str]:
        """What a process needs to be this copy."""
        common = {
            "PYTHONPATH": str(REPOSITORY),
            "DATABASE_URL": self._services_url,
            **self.access.environment(),
            "TOPIC_NAMESPACE": self.namespace,
            "PACK": self.pack,
            "DATA_DIR": str(self.folder / "data"),
            "SECRET_KEY": SECRET,
            f"{copy.service.upper()}_HOST": "127.0.0.1",
            f"{copy.service.upper()}_PORT": str(copy.port),
            # An empty value counts as unset: our own CLOCK_FILE must not reach the copies.
            "CLOCK_FILE": str(self.clock_file or ""),
        }
        if copy.is_rival:
            common["CONSUMER_GROUP"] = f"{self.namespace}.{copy.service}.rival"
        return common | self._environment

    def _notice_end(self, copy: Copy) -> None:
        """Records an unexpected end. Call it before the copy is killed or started again."""
        if copy.child and not copy.running and not copy.expected_down:
            copy.expected_down = True
            self._endings.append(
                f"{copy.service}-{copy.number} ended with {copy.child.returncode}\n{tail(copy.log)}"
            )

    async def _ready(self, client: httpx.AsyncClient, copy: Copy, seconds: float) -> None:
        reason = "no answer"
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            if copy.running:
                try:
                    answer = await client.get(f"{copy.url}/readyz")
                except httpx.HTTPError as error:
                    reason = repr(error)
                else:
                    if answer.status_code == httpx.codes.OK:
                        copy.was_ready = True
                        return
                    reason = answer.text
            elif _found_its_port_taken(copy):
                self._start_again(copy)
            else:
                reason = f"ended with {copy.child.returncode if copy.child else 'nothing started'}"
                break
            await asyncio.sleep(_POLL_SECONDS)
        raise NotReady(f"{copy.service}-{copy.number}: {reason}\n{tail(copy.log)}")

    def _start_again(self, copy: Copy) -> None:
        """After another process had its port: on a new one, or on the same one if clients know it already."""
        copy.expected_down = True  # it is no crash of ours
        if not copy.was_ready:
            copy.port = free_port()
        self.start(copy.service, copy.number)

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._admin_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def _found_its_port_taken(copy: Copy) -> bool:
    """Whether its last child ended since it could not listen."""
    return copy.child is not None and _PORT_TAKEN in tail(copy.log, copy.log_offset).lower()
