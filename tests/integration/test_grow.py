"""`civicloom topics grow`, and what `topics diff` and `/readyz` say of widths, with all four schemas."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from itertools import count

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.pair import Pair
from harness.schema import SECRET, make_topics, open_service_database
from services import cli
from shared.contracts.addresses import topic_name
from shared.contracts.routing import CaseOffered, CaseTriaged
from shared.kafka.admin import KafkaAdmin
from shared.kafka.topic_changes import KeptWidth
from shared.outbox.widths import read_widths
from shared.service import Parts, Service
from shared.settings import SERVICES, ServiceName
from shared.unit_of_work.database import Database
from tests.paths import REPO
from tests.waiting import until

KEYS = [f"key-{n}" for n in range(24)]
OFFER = CaseOffered(
    number="1", role="lead", lead="water", kind="help", service_code="x", visibility="public", attempt=1
)
_NUMBERS = count(1)


@pytest.fixture
async def services(
    database: str, namespace: str, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Mapping[ServiceName, Database]]:
    """The databases of all services, with topics of this test's own; the environment is the operator's."""
    own = f"{namespace}-{next(_NUMBERS)}"
    await make_topics(pair.access, own, ["water"])
    settings = {
        "DATABASE_URL": database,
        **pair.access.environment(),
        "TOPIC_NAMESPACE": own,
        "SECRET_KEY": SECRET,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    opened = {
        service: await open_service_database(database, service, namespace=own, access=pair.access)
        for service in SERVICES
    }
    yield opened
    for one in opened.values():
        await one.pool.execute("TRUNCATE aggregate, outbox, outbox_aside, cursor, topic_width")
        await one.close()


@pytest.fixture
async def routing(services: Mapping[ServiceName, Database]) -> AsyncIterator[Service]:
    service = Service(services["routing"], Parts("Routing", routers=[]))
    yield service
    await service.relay._release()
    await service.producer.stop()


def topic_of(routing: Service, logical: str = "routing", code: str | None = None) -> str:
    return topic_name(routing.database.settings.topic_namespace, logical, code)


async def send(routing: Service) -> None:
    """An event for each key, on routing's topic and on the unit's."""
    async with routing.database.transaction(KEYS) as tx:
        for key in KEYS:
            tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=key)
            tx.emit(OFFER, subject=key, unit="water")
    while await routing.database.pool.fetchval("SELECT count(*) FROM outbox"):
        await routing.relay.once()


async def command(*arguments: str) -> int:
    return await asyncio.to_thread(cli.main, ["topics", *arguments])


async def widths(services: Mapping[ServiceName, Database], topic: str) -> set[KeptWidth | None]:
    return {(await read_widths(one, [topic])).get(topic) for one in services.values()}


async def test_a_topic_grows_in_every_schema_and_the_declaration_does_not_mind(
    services: Mapping[ServiceName, Database], routing: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = topic_of(routing)
    assert await command("grow", topic, "6", "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["topic"], done["before"], done["partitions"]) == (topic, 4, 6)
    assert await widths(services, topic) == {KeptWidth(6)}
    assert await command("grow", topic, "6") == 0
    assert f"{topic} has 6 partitions already" in capsys.readouterr().out
    assert await command("grow", topic, "5") == 2
    assert "cannot take any away" in capsys.readouterr().err
    assert await command("diff", "--json") == 1  # the pack's other units have no topics here
    assert topic not in {change["topic"] for change in json.loads(capsys.readouterr().out)}


async def test_partitions_added_by_hand_are_shown_with_what_to_do_and_are_no_obstacle(
    services: Mapping[ServiceName, Database],
    routing: Service,
    pair: Pair,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topic = topic_of(routing)
    await send(routing)
    async with KafkaAdmin(pair.access) as admin:
        await admin.widen(topic, 7)
    assert await command("apply") == 0
    said = capsys.readouterr().out
    assert f"leave     {topic}  7 partitions, 4 in use: the others stay empty and harm nothing" in said
    assert f"civicloom topics grow {topic} 7" in said


async def test_readyz_shows_a_topic_that_is_held_until_abort(
    services: Mapping[ServiceName, Database], routing: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    """A growth that is killed while it waits for readers: none runs here, so it waits."""
    topic = topic_of(routing)
    await send(routing)
    await routing.relay._release()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "topics", "grow", topic, "8"),
        cwd=REPO,
        stderr=asyncio.subprocess.PIPE,
    )
    assert "is held" in (await process.stderr.readline()).decode()
    waiting = (await process.stderr.readline()).decode()
    for reader in ("publisher", "inquiry", "the log"):
        assert f"{reader} ({len(KEYS)} records)" in waiting
    process.kill()
    await process.wait()
    assert await widths(services, topic) == {KeptWidth(4, 8)}

    async def shown() -> list[str]:
        await routing.relay.once()
        transport = httpx.ASGITransport(routing.web())
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await client.get("/readyz")).json().get("degraded", [])

    found = await until(shown)
    assert found == [
        f"routing topics: {topic} is held, since `civicloom topics grow` is widening it to 8 partitions"
    ]
    assert await command("diff") == 1
    assert f"it is held to grow to 8: `civicloom topics grow {topic} 8`" in capsys.readouterr().out
    assert await command("grow", topic, "--abort") == 0
    assert f"{topic} is released, with 4 partitions as before" in capsys.readouterr().out

    async def over() -> bool:
        return not await shown()

    await until(over)


async def test_a_timeout_ends_with_1_and_leaves_everything_as_before(
    services: Mapping[ServiceName, Database], routing: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = topic_of(routing)
    await send(routing)
    await routing.relay._release()
    assert await command("grow", topic, "8", "--timeout", "1") == 1
    said = capsys.readouterr().err
    assert f"the log ({len(KEYS)} records)" in said
    assert f"{topic} is released, with 4 partitions as before" in said
    assert await widths(services, topic) == {KeptWidth(4)}


async def test_a_units_topic_grows_when_its_consumer_group_has_read_everything(
    services: Mapping[ServiceName, Database], routing: Service, pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = topic_of(routing, "department", "water")
    await send(routing)
    await routing.relay._release()
    assert await command("grow", topic, "2", "--timeout", "1") == 1
    assert "no consumer group that reads" in capsys.readouterr().err
    place = TopicPartition(topic, 0)
    unit = AIOKafkaConsumer(**pair.access.options(), group_id=f"{topic}-system", enable_auto_commit=False)
    await unit.start()
    unit.assign([place])
    await unit.commit({place: 3})
    assert await command("grow", topic, "2", "--timeout", "1") == 1
    assert f"group {topic}-system ({len(KEYS) - 3} records)" in capsys.readouterr().err
    await unit.commit({place: len(KEYS)})
    await unit.stop()
    assert await command("grow", topic, "2") == 0
    assert await command("grow", topic, "3", "--unit-has-read") == 0
    assert await widths(services, topic) == {KeptWidth(3)}


async def test_a_broker_or_a_database_that_is_away_is_a_sentence(
    services: Mapping[ServiceName, Database],
    routing: Service,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic = topic_of(routing)
    assert await command("grow", topic, "8", "--bootstrap", "127.0.0.1:1") == 1
    assert "no Kafka broker answers at 127.0.0.1:1" in capsys.readouterr().err
    monkeypatch.setenv("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
    assert await command("grow", topic, "8") == 1
    assert "the database of publisher does not answer" in capsys.readouterr().err
    assert await command("diff") == 1
    assert "how many partitions routing uses is unknown" in capsys.readouterr().err
