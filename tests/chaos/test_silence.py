"""Nobody holds a lock and does nothing: networks that go silent for good, a copy that is stopped for long,
somebody else's session that holds a table, processes that get no more memory or descriptors.

In the short form limits are shortened from half a minute to some seconds, so that eight seconds of silence
show what ninety show in the long form, with the limits of an installation.
"""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest

from deploy.local.kafka import Kafka
from deploy.local.pair import Pair, temporary_folder
from deploy.local.ports import free_port
from harness.proxy import Proxy
from tests.chaos.length import LONG
from tests.chaos.run import ChaosRun, chaos_run
from tests.waiting import until

pytestmark = pytest.mark.chaos

WARM, REST_SECONDS = 20, 60
SILENCE_SECONDS = 90 if LONG else 8
SHORT: Mapping[str, str] = {
    "CONNECT_SECONDS": "1",
    "COMMAND_SECONDS": "4",
    "TRANSACTION_SECONDS": "4",
    "TRANSACTION_IDLE_SECONDS": "3",
    "OWNER_IDLE_SECONDS": "4",
    "REQUEST_SECONDS": "3",
    "BROKER_SILENCE_SECONDS": "5",
    "WATCHDOG_SECONDS": "10",
}
ENDLESS = dict.fromkeys(("TRANSACTION_SECONDS", "TRANSACTION_IDLE_SECONDS", "OWNER_IDLE_SECONDS"), "0")


@pytest.fixture
def database_network(pair: Pair) -> Iterator[Proxy]:
    port = urlsplit(pair.database_url).port
    assert port
    with Proxy(port) as network:
        yield network


@pytest.fixture
def broker_network() -> Iterator[Proxy]:
    """Before a broker of its own, which sends its clients there."""
    port = free_port()
    with (
        temporary_folder() as folder,
        Proxy(port) as network,
        Kafka(folder / "kafka", port, advertised_port=network.port),
    ):
        yield network


async def waits(city: ChaosRun, service: str) -> int:
    async with city.observation.tables(service) as tables:
        return await tables.fetchval("SELECT count(*) FROM outbox")


async def test_all_comes_to_rest_without_help_after_a_silence(
    pair: Pair, folder: Path, database_network: Proxy, broker_network: Proxy
) -> None:
    networks = {"database_network": database_network, "broker_network": broker_network}
    environment = None if LONG else SHORT
    async with chaos_run(pair, folder, Random(5), environment=environment, **networks) as city:
        async with city.at_work(rest_seconds=REST_SECONDS):
            await city.asked(WARM)
            await city.faults.inject("lose_database_network", SILENCE_SECONDS)
            assert database_network.frozen > 0
            await city.asked(len(city.citizens.cases) + WARM)
            silence = asyncio.create_task(city.faults.inject("lose_broker_network", SILENCE_SECONDS))
            await asyncio.sleep(1)
            assert broker_network.frozen > 0
            for service in city.installation.services:  # a client that starts slowly ends no process
                city.installation.kill(service)
                city.installation.start(service)
            await silence
            await city.asked(len(city.citizens.cases) + WARM)
        _, violations = await city.check()
        assert [str(violation) for violation in violations] == []


async def test_without_limits_it_stands_still(pair: Pair, folder: Path, database_network: Proxy) -> None:
    """The control: what brings it to rest above is the limits."""
    async with chaos_run(
        pair, folder, Random(5), environment={**SHORT, **ENDLESS}, database_network=database_network
    ) as city:
        async with city.at_work(rest_seconds=REST_SECONDS / 2):
            await city.asked(WARM)
            await city.faults.inject("lose_database_network")
        assert any("outbox" in violation.detail for violation in city.unrest), city.unrest


async def test_who_is_stopped_blocked_or_short_of_something_holds_up_nobody_for_long(
    pair: Pair, folder: Path
) -> None:
    async with chaos_run(pair, folder, Random(6), environment=SHORT, resources=True) as city:
        async with city.at_work(rest_seconds=REST_SECONDS):
            await city.asked(WARM)
            city.faults.injected.since_ms = 0
            city.installation.pause("inquiry", 1)
            await asyncio.sleep(10)  # the other copy has taken over by now

            async def is_sent() -> bool:
                return await waits(city, "inquiry") == 0

            await until(is_sent, "what it held is sent by the other copy", 20)
            city.installation.resume("inquiry", 1)
            await city.asked(len(city.citizens.cases) + WARM)
            await blocked(city)
            await city.asked(len(city.citizens.cases) + WARM)
            await city.faults.inject("take_descriptors", ["inquiry", "routing", "audit"])
            await city.faults.inject("take_memory")
            await city.asked(len(city.citizens.cases) + WARM)
        _, violations = await city.check()
        assert [str(violation) for violation in violations] == []


async def blocked(city: ChaosRun) -> None:
    """Several sessions hold tables, or queue for them. Citizens are asked to come later, and soon."""
    city.citizens.refusals.clear()
    faults = city.citizens.faults
    await asyncio.gather(
        city.faults.inject("hold_a_table", "inquiry", "aggregate"),
        city.faults.inject("queue_behind_a_reader", "routing", "cursor"),
        city.faults.inject("hold_a_table", "publisher", "outbox"),
        city.faults.inject("queue_behind_a_reader", "audit", "log_head"),
    )
    assert city.citizens.refusals, "nobody was asked to come later"
    assert max(city.citizens.refusals) < 5
    assert city.citizens.faults - faults == len(city.citizens.refusals), "somebody got no answer"
