"""A flood of junk from one unit: others' offers are signed meanwhile, and what stays of it is bounded."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx
import orjson
import pytest

from deploy.local.pair import Pair
from harness.city import Citizens, Departments
from harness.installation import Installation
from harness.schema import open_service_database
from shared.clock import machine_now
from shared.contracts.addresses import topic_name
from shared.inbox.floods import paused_partitions, resume
from shared.kafka.client import Producer
from shared.settings import CoreSettings
from shared.unit_of_work.database import Database
from tests.chaos.length import LONG, SEED
from tests.waiting import running, until

pytestmark = pytest.mark.chaos
JUNK = 1_000_000 if LONG else 10_000
CASES = 100 if LONG else 15
PATIENCE = 5.0 if LONG else 15.0
"""Seconds that nobody else may wait for; in the short form some more, for machines that are slow."""
LIMIT = CoreSettings.model_fields["bad_records_per_minute"].default
FLOODING = "linjiang-urban"
OF_OTHERS: tuple[dict[str, Any], ...] = (
    {"title": "路灯不亮", "text": "第三盏灯不亮。", "service_code": "municipal-street-light"},
    {"title": "路面塌陷", "text": "很深。", "service_code": "municipal-road-damage", "area": "qingshi"},
)
_BATCH = 5000


@dataclass(slots=True)
class City:
    """Inquiry and routing, one process each; `routing` are the latter's tables."""

    installation: Installation
    citizens: Citizens
    routing: Database
    topic: str

    async def flood(self) -> None:
        """Half no JSON, half actions on cases that nobody knows."""
        producer = Producer(self.installation.access, "junk")
        try:
            for first in range(0, JUNK, _BATCH):
                waiting = [(self.topic, b"%d" % n, _junk(n), None) for n in range(first, first + _BATCH)]
                while waiting:
                    sent = {index for index, _ in (await producer.publish(waiting)).sent}
                    waiting = [row for index, row in enumerate(waiting) if index not in sent]
        finally:
            await producer.stop()

    async def slowest_signing(self) -> float:
        """Asks about what concerns others, one case after another; the seconds that the slowest took."""
        slowest = 0.0
        async with httpx.AsyncClient(timeout=30) as client:
            for number in range(CASES):
                began = time.monotonic()
                case = await self.citizens.ask(client, OF_OTHERS[number % len(OF_OTHERS)])

                async def is_signed(subject: str = case.id) -> bool:
                    return await self.routing.pool.fetchval(
                        "SELECT count(*) > 0 AND bool_and(signed_at IS NOT NULL) FROM assignment"
                        " WHERE inquiry = $1",
                        subject,
                    )

                await until(is_signed, f"case {number} of somebody else is signed", 60)
                slowest = max(slowest, time.monotonic() - began)
        return slowest

    async def kept(self) -> int:
        """Rows that stay for bad records."""
        return await self.routing.pool.fetchval(
            "SELECT (SELECT count(*) FROM parked_event) + (SELECT count(*) FROM dead_letter)"
            " + (SELECT count(*) FROM seen_event WHERE id LIKE 'junk-%')"
        )

    async def is_read(self) -> bool:
        """Whether the whole flood was applied, or refused."""
        return await self.routing.pool.fetchval(
            "SELECT coalesce(sum(next_offset), 0) >= $2 FROM cursor WHERE topic = $1", self.topic, JUNK
        )


@asynccontextmanager
async def city_with_a_flood(pair: Pair, folder: Path) -> AsyncIterator[City]:
    async with Installation(
        pair.database_url, pair.access, folder, services=["inquiry", "routing"]
    ) as installation:
        routing = await open_service_database(
            installation.database_url, "routing", namespace=installation.namespace
        )
        departments = Departments(installation, installation.units, replies=False)
        topic = topic_name(installation.namespace, "actions", FLOODING)
        city = City(installation, Citizens(installation, Random(SEED)), routing, topic)
        try:
            async with running(departments.run):
                yield city
        finally:
            await routing.close()


async def test_a_flood_is_its_senders_alone(
    pair: Pair, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    async with city_with_a_flood(pair, folder) as city:
        flooding = asyncio.create_task(city.flood())
        slowest = await city.slowest_signing()
        await flooding
        await until(lambda: paused_partitions(city.routing.pool), "the flood is paused")
        kept, minutes = await city.kept(), int((time.monotonic() - began) / 60) + 1
        assert not await city.is_read()
        ready = await asyncio.to_thread(httpx.get, f"{city.installation.url('routing')}/readyz", timeout=10)
        with capsys.disabled():
            print(f"\n{JUNK} junk records: others waited {slowest:.1f} s at most, {kept} rows stay")  # noqa: T201
        assert ready.status_code == httpx.codes.OK
        assert city.topic in ready.text
        assert slowest < PATIENCE
        assert kept <= LIMIT * minutes
        if not LONG:
            # The control: what keeps it small is the limit.
            await resume(city.routing.pool, city.topic, allow=JUNK)
            await until(city.is_read, "without the limit all is read", 60)
            assert await city.kept() > 10 * LIMIT


def _junk(number: int) -> bytes:
    if number % 2:
        return b"junk %d" % number
    return orjson.dumps(
        {
            "specversion": "1.0",
            "type": "civic.action.sign.v1",
            "id": f"junk-{number}",
            "source": "/x",
            "subject": f"no-such-case-{number}",
            "time": machine_now(),
            "data": {},
        }
    )
