"""The spine for real: inquiry and routing as processes, a department's own system between their topics."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from deploy.local.pair import Pair
from harness.installation import Installation
from shared.settings import REPOSITORY
from tests.waiting import until

pytestmark = pytest.mark.integration
SECONDS = 120
UNIT = "urban-management"


@contextlib.asynccontextmanager
async def department(installation: Installation) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(REPOSITORY / "examples" / "department.py"),
        *(installation.access.bootstrap, UNIT, "--namespace", installation.namespace, "--seconds", "0"),
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def becomes(connection: asyncpg.Connection, query: str, expected: object) -> None:
    async def is_it() -> bool:
        return bool(await connection.fetchval(query) == expected)

    await until(is_it, query, SECONDS)


async def test_a_concern_travels_to_a_department_and_its_answer_back(pair: Pair, open_tmp_path: Path) -> None:
    services = ("inquiry", "routing")
    async with Installation(
        pair.database_url, pair.access, open_tmp_path / "city", services=services
    ) as city:
        connection = await asyncpg.connect(city.database_url)
        body = {
            "title": "路灯不亮",
            "text": "门口的路灯坏了三天。",
            "kind": "help",
            "service_code": "municipal-street-light",
        }
        async with httpx.AsyncClient(base_url=city.url("inquiry"), timeout=30) as citizen:
            for number in range(3):
                response = await citizen.post(
                    "/api/inquiry/v1/inquiries",
                    json=body,
                    headers={"Idempotency-Key": f"test-department-{number}"},
                )
                assert response.status_code == 201, response.text
        async with department(city):
            await becomes(connection, "SELECT count(*) FROM routing.case_file WHERE state = 'replied'", 3)
        assert await connection.fetchval("SELECT count(*) FROM routing.seen_event") == 6
        await becomes(connection, "SELECT count(*) FROM routing.outbox", 0)
        assert await connection.fetchval("SELECT count(*) FROM routing.dead_letter") == 0
        await connection.close()
