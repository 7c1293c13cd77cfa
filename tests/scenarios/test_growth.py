"""A city's topics grow while people are at work and the command is killed: nothing is lost or comes late."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import asyncpg
import httpx
import pytest

from deploy.local.pair import Pair
from harness.city import Citizens, Departments
from harness.installation import Installation
from harness.observation import Observation
from shared.contracts.addresses import topic_name
from tests.paths import REPO
from tests.waiting import running, until

GROWN = {"inquiry": 8, "routing": 6}

_NOT_DISPATCHED = """
SELECT count(*) FROM inquiry.inquiry i WHERE NOT EXISTS (SELECT FROM routing.case_file c WHERE c.id = i.id)
"""
_READERS = 3
"""At most so many read a topic and count what they know already."""


@pytest.fixture
async def city(pair: Pair, open_tmp_path: Path) -> AsyncIterator[Installation]:
    async with Installation(pair.database_url, pair.access, open_tmp_path, copies=2) as started:
        yield started


async def grow(city: Installation, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "topics", "grow", *arguments),
        cwd=REPO,
        env=city.environment(city.copy("inquiry")),
        stderr=asyncio.subprocess.PIPE,
    )


async def finished(process: asyncio.subprocess.Process) -> str:
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


@pytest.mark.timeout(240)
async def test_a_city_at_work_does_not_notice_that_its_topics_grow(city: Installation) -> None:
    citizens = Citizens(city, Random(7))
    departments = Departments(city, city.units)
    asking = asyncio.Event()
    asking.set()

    async def ask() -> None:
        async with httpx.AsyncClient(timeout=20) as client:
            while asking.is_set():
                await citizens.ask(client)
                await asyncio.sleep(0.02)

    async with running(departments.run):
        citizen = asyncio.create_task(ask())
        await until(lambda: len(citizens.cases) > 30)
        inquiry, routing = (topic_name(city.namespace, logical) for logical in GROWN)
        killed = await grow(city, inquiry, str(GROWN["inquiry"]))
        assert b"is held" in await killed.stderr.readline()
        killed.kill()
        await killed.wait()
        before = len(citizens.cases)
        await until(lambda: len(citizens.cases) > before + 10)  # people are served meanwhile
        await finished(await grow(city, inquiry, str(GROWN["inquiry"])))
        await finished(await grow(city, routing, str(GROWN["routing"])))
        grown = len(citizens.cases)
        await until(lambda: len(citizens.cases) > grown + 50)
        asking.clear()
        await citizen
        async with Observation(city) as observation:
            await observation.settle(120)
            widths = Counter(topic for topic, _ in await observation.ends())
            sent_again = len((await observation.history()).resent_ms)
    assert (widths[inquiry], widths[routing]) == (GROWN["inquiry"], GROWN["routing"])
    assert await duplicates(city) <= sent_again * _READERS
    connection = await asyncpg.connect(city.database_url)
    assert await connection.fetchval("SELECT count(*) FROM inquiry.inquiry") == len(citizens.cases)
    assert await connection.fetchval(_NOT_DISPATCHED) == 0
    await connection.close()
    assert not city.ended_by_themselves()


async def duplicates(city: Installation) -> float:
    """Events that readers took for known: records that were sent again, or events that came too late."""
    found = 0.0
    async with httpx.AsyncClient(timeout=20) as client:
        for copy in city.copies:
            for line in (await client.get(f"{copy.url}/metrics")).text.splitlines():
                if line.startswith("civicloom_events_total") and 'outcome="duplicate"' in line:
                    found += float(line.rpartition(" ")[2])
    return found
