"""`civicloom resend routing`: offers that a unit's topic has lost are made again, the rest is listed."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from deploy.local.pair import Pair
from harness.schema import SECRET, make_topics, open_service_database
from services import cli
from services.routing.deliveries import aggregate_of, on_delivered
from shared.clock import machine_now
from shared.ids import new_id
from shared.kafka.admin import KafkaAdmin
from shared.kafka.client import Producer, Reader, read_until
from shared.kafka_access import KafkaAccess
from shared.outbox.relay import Relay
from shared.packs import Packs
from tests.integration.routing.conftest import World

pytestmark = pytest.mark.integration
UNIT = "urban-management"


@dataclass
class City:
    """routing, whose case files and outbox the `world` has, with the topic of a unit."""

    world: World
    access: KafkaAccess

    @property
    def topic(self) -> str:
        return f"{self.world.namespace}.department.{UNIT}.v1"

    async def offer(self) -> str:
        case = new_id(machine_now())
        await self.world.take(self.world.received(case))
        return case

    async def send(self) -> None:
        producer = Producer(self.access, "test")
        relay = Relay(self.world.database, producer, on_delivered=on_delivered, delivery_lock=aggregate_of)
        while await self.world.database.pool.fetchval("SELECT count(*) FROM outbox"):
            await relay.once()
        await relay._release()
        await producer.stop()

    async def records(self, topic: str | None = None) -> list[dict[str, Any]]:
        reader = Reader(self.access, "test", [topic or self.topic])
        await reader.start({})
        ends = await reader.ends()
        found = [orjson.loads(one.value or b"") async for some in read_until(reader, ends) for one in some]
        await reader.stop()
        return found

    async def lose(self) -> None:
        """An operator deletes the unit's topic and makes it again."""
        async with KafkaAdmin(self.access) as admin:
            await admin._client.delete_topics([self.topic])
        await make_topics(self.access, self.world.namespace, [UNIT])

    async def resend(self, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any] | None]:
        """What the command exits with, and what it says of the unit's topic."""
        capsys.readouterr()
        arguments = ["resend", "routing", "--since", "1h", "--json"]
        with ThreadPoolExecutor(1) as pool:
            code = await asyncio.get_running_loop().run_in_executor(pool, cli.main, arguments)
        said = {one["topic"]: one for one in json.loads(capsys.readouterr().out)}
        assert said.pop(f"{self.world.namespace}.routing.v1")["found"] == 0
        assert said.keys() <= {self.topic}
        return code, said.get(self.topic)


@pytest.fixture
async def city(
    pair: Pair, database: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[City]:
    more = {"namespace": namespace, "bootstrap": pair.access}
    routing = await open_service_database(database, "routing", **more)
    audit = await open_service_database(database, "audit", **more)
    packs = await Packs.open(routing, routing.settings)
    await make_topics(pair.access, namespace, [one.code for one in packs.current.departments if one.kafka])
    environment = {
        "DATABASE_URL": database,
        "TOPIC_NAMESPACE": namespace,
        "SECRET_KEY": SECRET,
        **pair.access.environment(),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield City(World(routing, packs, namespace), pair.access)
    await routing.close()
    await audit.close()


async def test_an_open_offer_is_made_again_and_the_rest_is_listed(
    city: City, capsys: pytest.CaptureFixture[str]
) -> None:
    signed, offered, erased = [await city.offer() for _ in range(3)]
    await city.world.act(UNIT, signed, "sign")
    await city.send()
    before = await city.records()
    assert await city.resend(capsys) == (0, None)

    await city.lose()
    async with city.world.database.transaction([erased]) as tx:
        await tx.connection.execute(
            "UPDATE case_file SET phase = 'erased', words = NULL WHERE id = $1", erased
        )
    code, said = await city.resend(capsys)
    assert code == 1
    assert said is not None
    assert said["found"] == 1
    listed = [(one["subject"], one["sequence"]) for one in said["nowhere"]]
    assert sorted(listed) == sorted(
        (one["subject"], int(one["sequence"])) for one in before if one["subject"] != offered
    )
    assert all(one["number"] for one in said["nowhere"])

    await city.send()
    (again,) = await city.records()
    (first,) = [one for one in before if one["subject"] == offered]
    same = ("type", "source", "subject", "sequence", "epoch", "partitionkey", "correlationid", "data")
    assert {name: again[name] for name in same} == {name: first[name] for name in same}
    assert again["id"] != first["id"]
    delivered = [
        one["data"]["record"]
        for one in await city.records(f"{city.world.namespace}.routing.v1")
        if one["type"] == "civic.delivery.succeeded.v1" and one["subject"] == offered
    ]
    assert delivered == [first["id"], again["id"]]

    code, said = await city.resend(capsys)
    assert (code, (said or {})["found"]) == (1, 0)
