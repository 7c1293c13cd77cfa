"""The servers of a run: a fresh PostgreSQL and Kafka, and one copy of each of the four services."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench.usage import Meter
from deploy.local.pair import Pair, temporary_folder
from harness.installation import Installation
from shared.policy.loader import load_pack
from shared.policy.model import Pack
from shared.settings import REPOSITORY, SERVICES, ServiceName

# The machine may be busy with other work.
_READY_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Servers:
    """A running pair, and a folder for the files of a run."""

    pair: Pair
    folder: Path

    @property
    def processes(self) -> dict[str, int]:
        """The broker's process, by name."""
        child = self.pair.kafka.child if self.pair.kafka else None
        return {"kafka": child.pid} if child else {}

    @property
    def postgres(self) -> int:
        child = self.pair.postgres.child if self.pair.postgres else None
        return child.pid if child else 0


@contextmanager
def servers() -> Iterator[Servers]:
    """A pair on fresh data, deleted afterwards."""
    with temporary_folder() as folder, Pair(folder, for_load=True) as pair:
        yield Servers(pair, folder)


@dataclass(slots=True)
class Stage:
    """A running installation with a connection to look at it."""

    servers: Servers
    installation: Installation
    connection: asyncpg.Connection
    pack: Pack

    def meter(self, **more: int) -> Meter:
        """A meter over services, broker, database and `more`, by name and process id."""
        processes: dict[str, int] = {
            copy.service: copy.child.pid for copy in self.installation.copies if copy.child is not None
        }
        processes |= more | self.servers.processes
        return Meter(processes, self.servers.postgres)


@asynccontextmanager
async def stage(
    on: Servers,
    name: str,
    *,
    services: Sequence[ServiceName] = SERVICES,
    start: bool = True,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Stage]:
    """An installation with its own database and topics; with `start=False` no service runs yet.

    `environment` is added to that of its processes.
    """
    installation = Installation(
        on.pair.database_url,
        on.pair.access,
        on.folder / name,
        services=services,
        environment={"LOG_LEVEL": "warning", **(environment or {})},
    )
    pack = load_pack(REPOSITORY / "policies" / installation.pack)
    await installation.prepare()
    try:
        if start:
            for service in services:
                installation.start(service)
            await installation.ready(seconds=_READY_SECONDS)
        connection = await asyncpg.connect(
            installation.database_url, server_settings={"application_name": "bench"}
        )
        try:
            yield Stage(on, installation, connection, pack)
        finally:
            await connection.close()
    finally:
        await installation.close()


def machine() -> str:
    """The machine and the versions that were measured."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores, {model}; load before {load}"
