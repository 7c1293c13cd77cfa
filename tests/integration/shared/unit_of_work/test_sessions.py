"""Sessions with a database that has gone silent: no lock is kept and nobody waits beyond the limits."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.local.pair import Pair
from harness.proxy import Proxy
from harness.schema import open_service_database
from shared.infrastructure import is_infrastructure
from shared.unit_of_work.database import Database
from shared.unit_of_work.sessions import keep_alive, ping
from tests.waiting import until

# asyncpg leaves the socket of a cancellation that was given up to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)

LOCK = 4711
QUICK: dict[str, Any] = {
    "connect_seconds": 1,
    "command_seconds": 1,
    "transaction_seconds": 2,
    "transaction_idle_seconds": 1,
    "owner_idle_seconds": 1,
}


@pytest.fixture
def proxy(pair: Pair) -> Iterator[Proxy]:
    port = urlsplit(pair.database_url).port
    assert port
    with Proxy(port) as running:
        yield running


@pytest.fixture
async def admin(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def behind(database: str, proxy: Proxy) -> AsyncIterator[Callable[..., Any]]:
    """Opens a service's database through the proxy."""
    opened: list[Database] = []

    async def open_it(**limits: Any) -> Database:
        await (await open_service_database(database, "routing")).close()
        url = urlsplit(database)._replace(netloc=f"postgres@127.0.0.1:{proxy.port}").geturl()
        found = await open_service_database(url, "routing", **(QUICK | limits))
        opened.append(found)
        return found

    yield open_it
    for one in opened:
        one.pool.terminate()


async def holds_lock(admin: asyncpg.Connection) -> bool:
    return await admin.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE objid = $1)", LOCK)


async def take(database: Database) -> asyncpg.Connection:
    owner = await database.connect()
    await owner.execute("SELECT pg_advisory_lock($1)", LOCK)
    return owner


async def test_the_lock_of_an_owner_that_nobody_hears_of_is_freed(
    behind: Callable[..., Any], proxy: Proxy, admin: asyncpg.Connection
) -> None:
    owner = await take(await behind())
    proxy.lose_network()
    assert await holds_lock(admin)

    async def is_free() -> bool:
        return not await holds_lock(admin)

    await until(is_free, "the server frees the lock", 10)
    owner.terminate()


async def test_without_the_limit_the_lock_stays(
    behind: Callable[..., Any], proxy: Proxy, admin: asyncpg.Connection
) -> None:
    """The control: what frees the lock above is the limit, not the proxy."""
    owner = await take(await behind(owner_idle_seconds=0))
    proxy.lose_network()
    await asyncio.sleep(3)
    assert await holds_lock(admin)
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objid = $1", LOCK)
    owner.terminate()


async def test_an_owner_that_pings_keeps_its_lock(
    behind: Callable[..., Any], admin: asyncpg.Connection
) -> None:
    owner = await take(await behind())
    for _ in range(8):
        await asyncio.sleep(0.3)
        await ping(owner)
    assert await holds_lock(admin)
    await owner.close()


async def test_work_beside_a_session_keeps_it_and_ends_with_it(
    behind: Callable[..., Any], proxy: Proxy, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.unit_of_work.sessions._PING_EVERY_SECONDS", 0.3)
    owner = await take(await behind())
    assert await keep_alive(owner, asyncio.sleep(2, "done")) == "done"
    assert await holds_lock(admin)
    proxy.lose_network()
    with pytest.raises(TimeoutError):
        await keep_alive(owner, asyncio.sleep(60))
    owner.terminate()


async def test_rows_locked_by_a_transaction_that_nobody_hears_of_are_freed(
    behind: Callable[..., Any], proxy: Proxy, admin: asyncpg.Connection
) -> None:
    database = await behind()
    with pytest.raises(Exception) as failed:
        async with database.transaction(["case"]) as tx:
            proxy.lose_network()
            async with asyncio.timeout(10):
                await admin.execute("UPDATE routing.aggregate SET sequences = '{}' WHERE id = 'case'")
            await tx.connection.execute("SELECT 1")
    assert is_infrastructure(failed.value)


async def test_a_command_without_an_answer_fails_at_its_limit_with_its_rollback(
    behind: Callable[..., Any], proxy: Proxy
) -> None:
    """Its cancellation goes over the same network, and the rollback waits for that."""
    database = await behind()
    began = 0.0
    with pytest.raises(Exception) as failed:
        async with database.transaction(["case"]) as tx:
            proxy.lose_network()
            began = time.monotonic()
            await tx.connection.execute("SELECT 1")
    assert is_infrastructure(failed.value)
    assert time.monotonic() - began < QUICK["command_seconds"] + 2


async def test_idle_sessions_that_are_dead_are_replaced_before_they_are_used(
    behind: Callable[..., Any], proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the network is back nobody waits a command's limit for each session that stood in the pool."""
    monkeypatch.setattr("shared.unit_of_work.sessions._TRUSTED_SECONDS", 0.0)
    monkeypatch.setattr("shared.unit_of_work.sessions._PING_SECONDS", 0.5)
    database = await behind(command_seconds=60)
    await asyncio.gather(*(database.pool.execute("SELECT pg_sleep(0.2)") for _ in range(5)))
    proxy.lose_network()
    proxy.mend()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await database.pool.execute("SELECT 1")
    for _ in range(5):
        await database.pool.execute("SELECT 1")
    assert time.monotonic() - began < 4


async def test_the_kernel_is_asked_to_watch_the_connection(
    behind: Callable[..., Any], proxy: Proxy, admin: asyncpg.Connection
) -> None:
    """On the client's side by options of the socket, on the server's by settings of the session."""
    database = await behind(keepalive_seconds=7)
    for connection in (await database.connect(), await database.pool.acquire()):
        found = connection._transport.get_extra_info("socket")
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 21_000
        assert await connection.fetchval("SHOW tcp_keepalives_idle") == "7"
        assert await connection.fetchval("SHOW tcp_user_timeout") == "21000"
        assert await connection.fetchval("SHOW transaction_timeout") == "2s"
        connection.terminate()
