"""A copy of a service whose port another process took between the choice and the bind."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from harness.installation import Installation, NotReady
from shared.kafka_access import KafkaAccess
from shared.settings import ServiceName

# It listens by asyncio, as services do, so its error reads the same; and it is ready at once.
_SERVICE = """
import asyncio, os

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nConnection: close\\r\\n\\r\\nready")
    writer.close()

async def main():
    host, port = os.environ["INQUIRY_HOST"], int(os.environ["INQUIRY_PORT"])
    async with await asyncio.start_server(answer, host, port) as server:
        await server.serve_forever()

asyncio.run(main())
"""


def listens(_: ServiceName) -> Sequence[str]:
    return (sys.executable, "-c", _SERVICE)


@asynccontextmanager
async def taken(port: int) -> AsyncIterator[None]:
    """Another server has the port; it closes every connection."""
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port):
        yield


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(
        "postgresql://u@h/d", KafkaAccess("h:9092"), tmp_path, services=["inquiry"], command=listens
    )


async def test_it_starts_on_another_port(installation: Installation) -> None:
    copy = installation.copy("inquiry")
    port = copy.port
    async with taken(port):
        installation.start("inquiry")
        await installation.ready()
        assert copy.port != port
    assert installation.ended_by_themselves() == []
    await installation.stop()


async def test_it_waits_for_the_port_that_its_clients_know(installation: Installation) -> None:
    installation.start("inquiry")
    await installation.ready()
    copy, known = installation.copy("inquiry"), installation.url("inquiry")
    installation.kill("inquiry")
    async with taken(copy.port):
        installation.start("inquiry")
        with pytest.raises(NotReady):
            await installation.ready(seconds=1)
    await installation.ready()
    assert installation.url("inquiry") == known
    assert installation.ended_by_themselves() == []
    await installation.stop()
