"""People never wait long: behind a lock, or for a connection, they are asked in time to try again."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import httpx
import pytest

from tests.integration.inquiry.conftest import API, CONCERN, Running

SOON = 5.0
KEYS = [f"the-same-key-of-person-{number}" for number in range(4)]


@pytest.fixture
async def blocker(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody who holds locks and does nothing, as in a session that was left open."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


def asked_to_try_again(answer: httpx.Response, began: float) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"] == "5"
    assert time.monotonic() - began < SOON


async def test_behind_a_lock_people_are_asked_to_try_again_and_nothing_is_taken_twice(
    running: Running, blocker: asyncpg.Connection
) -> None:
    async def ask_all() -> list[httpx.Response]:
        return await asyncio.gather(*(running.post(API, CONCERN, key=key) for key in KEYS))

    async with blocker.transaction():
        await blocker.execute("LOCK TABLE inquiry.aggregate")
        began = time.monotonic()
        for answer in await ask_all():
            asked_to_try_again(answer, began)
    # One that was given up may have been stored all the same, just as the lock went.
    first, second = await ask_all(), await ask_all()
    assert {answer.status_code for answer in (*first, *second)} == {201}
    assert [answer.json() for answer in first] == [answer.json() for answer in second]
    assert await running.database.pool.fetchval("SELECT count(*) FROM inquiry") == len(KEYS)


async def test_while_no_connection_is_free_people_are_asked_to_try_again(running: Running) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(running.database.settings.pool_size):
            await stack.enter_async_context(running.database.pool.acquire())
        began = time.monotonic()
        asked_to_try_again(await running.post(API, CONCERN), began)
    assert (await running.post(API, CONCERN)).status_code == 201
