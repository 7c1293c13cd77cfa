"""The log below a cursor is exchanged for another one: the writer stands, and goes on only by an operator."""

import asyncio
import datetime as dt
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from prometheus_client import REGISTRY

from deploy.local.pair import Pair
from harness.schema import make_topics, open_service_database
from services.audit import writer as writers
from services.audit.log.entry import parse_entry
from services.audit.log.files import LogFiles
from services.audit.log.note import Signer
from services.audit.log.reset import Reset
from services.audit.log.resume import resume
from services.audit.log.subjects import KeyBox
from services.audit.log.verify import verify
from services.audit.writer import GAP_PAUSE, Writer
from shared.contracts.addresses import topic_name
from shared.ids import new_id
from shared.unit_of_work.database import Database
from tests.integration.audit.sample import NOW, until

pytestmark = pytest.mark.integration

SIGNER, KEYS = Signer("audit.example.gov/log", bytes(range(32))), KeyBox(bytes(32))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused writer tries again at once: so three tries are seen in two seconds."""
    monkeypatch.setattr(writers, "_FIRST_WAIT", 0.1)
    monkeypatch.setattr(writers, "_LONGEST_WAIT", 0.2)
    monkeypatch.setattr(writers, "_LOOK_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(writers, "_GAPS_EVERY", 0.5)


@pytest.fixture
async def audit(pair: Pair) -> AsyncIterator[Database]:
    """audit's tables in a database of their own, and topics that nobody else uses."""
    name, namespace = f"test_{secrets.token_hex(6)}", f"t{secrets.token_hex(4)}"
    admin = await asyncpg.connect(pair.database_url)
    await admin.execute(f'CREATE DATABASE "{name}"')
    await make_topics(pair.access, namespace, [])
    url = urlsplit(pair.database_url)._replace(path=f"/{name}").geturl()
    opened = await open_service_database(url, "audit", namespace=namespace, access=pair.access)
    yield opened
    await opened.close()
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


@pytest.fixture
def topic(audit: Database) -> str:
    return topic_name(audit.settings.topic_namespace, "inquiry")


@pytest.fixture
async def admin(pair: Pair) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**pair.access.options())
    await client.start()
    yield client
    await client.close()


@asynccontextmanager
async def writing(
    audit: Database, folder: Path, *, gap_pause: dt.timedelta = GAP_PAUSE
) -> AsyncIterator[Writer]:
    writer = Writer(audit, SIGNER, KEYS, LogFiles(folder), gap_pause=gap_pause)
    task = asyncio.create_task(writer.run())
    try:
        yield writer
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def event(subject: str, sequence: int) -> bytes:
    return orjson.dumps(
        {
            "specversion": "1.0",
            "type": "civic.inquiry.noted.v1",
            "id": new_id(NOW),
            "source": "/services/inquiry",
            "subject": subject,
            "sequence": f"{sequence:010d}",
            "epoch": 1,
            "salt": "AAECAwQFBgcICQoLDA0ODw",
            "data": {},
        }
    )


def events(count: int) -> list[bytes]:
    """The first events of so many subjects."""
    return [event(new_id(NOW), 1) for _ in range(count)]


async def send(pair: Pair, topic: str, values: list[bytes]) -> None:
    async with AIOKafkaProducer(**pair.access.options()) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)


async def make_again(admin: AIOKafkaAdminClient, topic: str, partitions: int = 4) -> None:
    """Deletes a topic and creates it again, empty."""
    await admin.delete_topics([topic])

    async def gone() -> bool:
        return topic not in await admin.list_topics()

    await until(gone, "the topic is deleted")
    await admin.create_topics([NewTopic(topic, partitions, 1)])

    async def there() -> bool:
        return topic in await admin.list_topics()

    await until(there, "the topic is there again")


async def entries(audit: Database) -> list[dict[str, object]]:
    rows = await audit.pool.fetch("SELECT entry FROM log_entry ORDER BY index")
    return [parse_entry(row["entry"]) for row in rows]


async def has_entries(audit: Database, count: int) -> None:
    async def there() -> bool:
        return len(await entries(audit)) >= count

    await until(there, f"{count} entries")


async def stands(audit: Database) -> None:
    """The log is refused for three tries of the writer, and a scrape at any moment would see it."""

    async def refused() -> bool:
        return bool(await audit.pool.fetchval("SELECT count(*) FROM log_refusal WHERE entry_index IS NULL"))

    await until(refused, "the refusal is kept")
    size = len(await entries(audit))
    seen = set()
    for _ in range(40):
        seen.add(REGISTRY.get_sample_value("civicloom_log_writer"))
        await asyncio.sleep(0.05)
    assert seen == {0.0}
    assert len(await entries(audit)) == size


async def resumed(audit: Database, topic: str, partition: int = 0) -> tuple[Reset, int] | None:
    connection = await audit.connect()
    try:
        return await resume(connection, (topic, partition), operator="ann", reason="a power cut")
    finally:
        await connection.close()


def verified(folder: Path, size: int) -> bool:
    report = verify(folder, SIGNER.verifier.vkey)
    assert report.failure is None
    return report.entries == size


async def goes_on(audit: Database, topic: str, folder: Path, size: int) -> None:
    await has_entries(audit, size)

    async def published() -> bool:
        return verified(folder, size)

    await until(published, "everything is published")
    assert REGISTRY.get_sample_value("civicloom_log_writer") == 1.0
    found = await entries(audit)
    assert [entry["kind"] for entry in found].count("reset") == 1
    assert not [entry for entry in found if entry["kind"] == "incident"]


async def test_a_topic_made_again_while_the_writer_is_away_that_has_grown_past_the_cursor(
    audit: Database, topic: str, pair: Pair, admin: AIOKafkaAdminClient, tmp_path: Path
) -> None:
    old, new = events(4), events(9)
    await send(pair, topic, old)
    async with writing(audit, tmp_path):
        await has_entries(audit, 4)
    await make_again(admin, topic)
    # One of the lost log's events comes again: its producer was not sure of it.
    await send(pair, topic, [old[1], *new])
    async with writing(audit, tmp_path) as writer:
        await stands(audit)
        assert "another record" in writer.health.trouble["log"]
    # A refusal is not forgotten at the next start, nor when the partition looks whole again.
    async with writing(audit, tmp_path):
        await stands(audit)
        reset, index = await resumed(audit, topic) or (None, None)
        assert reset == Reset(topic, 0, 4, 0)
        assert index == 4
        await goes_on(audit, topic, tmp_path, 4 + 1 + 9)
    assert await resumed(audit, topic) is None


async def test_a_topic_made_again_while_the_writer_runs_that_has_grown_past_the_cursor(
    audit: Database, topic: str, pair: Pair, admin: AIOKafkaAdminClient, tmp_path: Path
) -> None:
    await send(pair, topic, events(2))
    async with writing(audit, tmp_path):
        await has_entries(audit, 2)
        await make_again(admin, topic)
        await send(pair, topic, events(8))
        await stands(audit)
        await resumed(audit, topic)
        await goes_on(audit, topic, tmp_path, 2 + 1 + 8)


async def test_a_log_that_has_lost_its_end(
    audit: Database, topic: str, pair: Pair, admin: AIOKafkaAdminClient, tmp_path: Path
) -> None:
    old = events(6)
    await send(pair, topic, old)
    async with writing(audit, tmp_path):
        await has_entries(audit, 6)
    await make_again(admin, topic)
    await send(pair, topic, old[:3])
    async with writing(audit, tmp_path) as writer:
        await stands(audit)
        assert "logged up to offset 6, but ends at 3 now" in writer.health.trouble["log"]
        # Everything it would need to look whole: without a refusal on record the writer would go on here.
        await send(pair, topic, events(5))
        await stands(audit)
        await resumed(audit, topic)
        await goes_on(audit, topic, tmp_path, 6 + 1 + 5)


async def test_a_topic_made_again_with_fewer_partitions(
    audit: Database, topic: str, pair: Pair, admin: AIOKafkaAdminClient, tmp_path: Path
) -> None:
    async with AIOKafkaProducer(**pair.access.options()) as producer:
        await producer.send_and_wait(topic, events(1)[0], partition=3)
    async with writing(audit, tmp_path):
        await has_entries(audit, 1)
    await make_again(admin, topic, partitions=1)
    await send(pair, topic, events(2))
    async with writing(audit, tmp_path):
        await stands(audit)
        assert (await resumed(audit, topic, 3) or [None])[0] == Reset(topic, 3, 1, 0)
        await goes_on(audit, topic, tmp_path, 1 + 1 + 2)


async def test_aborted_transactions_are_not_logged_and_their_markers_are_no_loss(
    audit: Database, topic: str, pair: Pair, tmp_path: Path
) -> None:
    first, aborted, second, third = events(4)
    lost = REGISTRY.get_sample_value("civicloom_log_lost_total", {"told_by": "offset"})
    async with writing(audit, tmp_path):
        async with AIOKafkaProducer(
            **pair.access.options(), transactional_id=audit.settings.topic_namespace
        ) as producer:
            async with producer.transaction():
                await producer.send_and_wait(topic, first, partition=0)
            await producer.begin_transaction()
            await producer.send_and_wait(topic, aborted, partition=0)
            await producer.abort_transaction()
            async with producer.transaction():
                await producer.send_and_wait(topic, second, partition=0)
        await has_entries(audit, 2)
    await send(pair, topic, [third])
    async with writing(audit, tmp_path) as writer:
        await has_entries(audit, 3)
        assert writer.health.trouble == {}
    values = await audit.pool.fetch("SELECT value FROM log_entry ORDER BY index")
    assert [row["value"] for row in values] == [first, second, third]
    assert REGISTRY.get_sample_value("civicloom_log_lost_total", {"told_by": "offset"}) == lost


async def test_missing_events_alarm_only_while_they_stay_missing(
    audit: Database, topic: str, pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> float | None:
        return REGISTRY.get_sample_value("civicloom_log_missing_events")

    def counted(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    lost = counted("civicloom_log_lost_total", told_by="sequence")
    twice = counted("civicloom_log_records_total", outcome="duplicate")
    late = counted("civicloom_log_records_total", outcome="late")
    one, two, three, five = (event("case", sequence) for sequence in (1, 2, 3, 5))
    async with writing(audit, tmp_path, gap_pause=dt.timedelta(seconds=4)):
        # A gap that closes within the pause is none.
        await send(pair, topic, [one, three, two, one])
        await has_entries(audit, 3)
        await send(pair, topic, [five])

        async def alarms() -> bool:
            return missing() == 1

        await until(alarms, "the missing event alarms")
        assert counted("civicloom_log_lost_total", told_by="sequence") == lost + 1
        await send(pair, topic, [event("case", 4)])

        async def is_over() -> bool:
            return missing() == 0

        await until(is_over, "the alarm ends")
    said = [line for line in capsys.readouterr().out.splitlines() if "events are missing" in line]
    assert len(said) == 1
    assert all(part in said[0] for part in ("subject=case", "sequences=4", "source=/services/inquiry"))
    assert counted("civicloom_log_records_total", outcome="duplicate") == twice + 1
    assert counted("civicloom_log_records_total", outcome="late") == late + 2
    assert [entry["kind"] for entry in await entries(audit)] == ["event"] * 5
