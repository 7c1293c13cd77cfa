"""The audit service as two processes, and a sample service whose events they log."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from deploy.local.pair import Pair, temporary_folder
from harness.installation import Installation
from harness.schema import open_service_database
from shared.kafka.client import Producer
from shared.outbox.relay import Relay
from tests.integration.audit.sample import SampleService, cookie


@pytest.fixture(scope="package")
def folder() -> Iterator[Path]:
    with temporary_folder() as made:
        yield made


@pytest.fixture(scope="package")
async def installation(pair: Pair, folder: Path) -> AsyncIterator[Installation]:
    async with Installation(pair.database_url, pair.access, folder, services=("audit",), copies=2) as running:
        yield running


@pytest.fixture(scope="package")
async def sample(installation: Installation) -> AsyncIterator[SampleService]:
    database = await open_service_database(
        installation.database_url,
        "routing",
        namespace=installation.namespace,
        access=installation.access,
    )
    producer = Producer(installation.access, "sample")
    relaying = asyncio.create_task(Relay(database, producer).run())
    yield SampleService(database)
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
    await producer.stop()
    await database.close()


@pytest.fixture(scope="package")
async def tables(installation: Installation) -> AsyncIterator[asyncpg.Connection]:
    """audit's tables, as its operator sees them."""
    connection = await asyncpg.connect(
        installation.database_url, server_settings={"search_path": "audit", "application_name": "test"}
    )
    yield connection
    await connection.close()


@pytest.fixture
async def client(installation: Installation) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a session."""
    async with httpx.AsyncClient(base_url=installation.url("audit"), timeout=20) as made:
        yield made


@pytest.fixture
async def staff(installation: Installation) -> AsyncIterator[httpx.AsyncClient]:
    """An oversight officer, signed in."""
    headers = {"Cookie": cookie("oversight"), "Accept-Language": "en", "Accept": "text/html"}
    async with httpx.AsyncClient(base_url=installation.url("audit"), timeout=20, headers=headers) as made:
        yield made
