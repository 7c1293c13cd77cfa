"""An owner of a lock pings while it has nothing to say, and leaves in order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.pair import Pair
from harness.schema import make_topics, open_service_database
from services.audit.log.checkpoint import open_checkpoint
from services.audit.log.files import LogFiles
from services.audit.log.note import Signer
from services.audit.log.parsing import prepare
from services.audit.log.sequencer import Sequencer
from services.audit.log.subjects import KeyBox
from services.audit.log_size import LogSizeNotifier
from services.audit.tracing.exporter import LOCK as EXPORTER
from services.audit.tracing.exporter import Exporter
from services.audit.writer import LOCK as WRITER
from services.audit.writer import Writer
from shared.contracts.addresses import topic_name
from shared.unit_of_work.database import Database
from tests.collector import fake_collector
from tests.integration.log.conftest import Topic
from tests.waiting import running, until

pytestmark = pytest.mark.integration

IDLE_SECONDS = 3
SIGNER, KEYS = Signer("audit.example.gov/log", bytes(range(32))), KeyBox(bytes(32))
Owner = Callable[[], Awaitable[int | None]]


@pytest.fixture
async def audit(database: str, namespace: str, pair: Pair) -> AsyncIterator[Database]:
    await make_topics(pair.access, namespace, [])
    opened = await open_service_database(
        database, "audit", namespace=namespace, access=pair.access, owner_idle_seconds=IDLE_SECONDS
    )
    yield opened
    await opened.close()


def owner_of(audit: Database, lock: int) -> Owner:
    async def owner() -> int | None:
        # Of this database: the locks of others, which end as slowly as they like, are listed too.
        return await audit.pool.fetchval(
            "SELECT pid FROM pg_locks WHERE classid = $1 AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            lock,
        )

    return owner


async def test_the_writer_keeps_the_log_while_nothing_happens(audit: Database, tmp_path: Path) -> None:
    writer = Writer(audit, SIGNER, KEYS, LogFiles(tmp_path))
    owner = owner_of(audit, WRITER)
    async with running(writer.run):
        first = await until(owner)
        await asyncio.sleep(2 * IDLE_SECONDS)
        assert await owner() == first
        assert writer.health.trouble == {}


async def test_a_writer_that_is_stopped_in_order_leaves_nothing_unsigned(
    audit: Database, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.audit.writer._PUBLISH_EVERY", 3600.0)
    files = LogFiles(tmp_path)
    writer = Writer(audit, SIGNER, KEYS, files)
    topic = topic_name(audit.settings.topic_namespace, "inquiry")
    async with running(writer.run), AIOKafkaProducer(**pair.access.options()) as producer:
        await until(files.checkpoint, "the empty log is published", 20)
        await producer.send_and_wait(topic, b"anything is logged", partition=0)
        await until(lambda: has_entries(audit), "it is in the tables", 20)
        published = files.checkpoint()
        assert published is not None
        assert open_checkpoint(published, SIGNER.verifier).size == 0
    published = files.checkpoint()
    assert published is not None
    assert open_checkpoint(published, SIGNER.verifier).size == 1


async def has_entries(audit: Database) -> bool:
    return bool(await audit.pool.fetchval("SELECT count(*) FROM log_entry"))


async def test_the_exporter_keeps_its_place_while_the_collector_asks_to_wait(
    audit: Database, tmp_path: Path
) -> None:
    connection = await audit.connect(may_be_silent=True)
    sequencer = await Sequencer.open(connection, SIGNER.verifier, KEYS, None)
    owner = owner_of(audit, EXPORTER)
    with fake_collector() as collector:
        collector.answers.append((503, {"Retry-After": str(2 * IDLE_SECONDS)}, {}))
        exporter = Exporter(audit, LogSizeNotifier(), f"{collector.url}/v1/traces", {})
        async with running(exporter.run):
            first = await until(owner)
            case = "019ab4c1-5c00-7abc-8def-000000000001"
            await sequencer.append(prepare([Topic("inquiry", 1).event(case, 1)]))
            await until(lambda: collector.taken, "it is sent after the wait", 20)
            assert await owner() == first
    await connection.close()
