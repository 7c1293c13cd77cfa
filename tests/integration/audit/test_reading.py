"""What the log's writer reads of Kafka, whatever stands there: the writer alone, in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from prometheus_client import REGISTRY

from deploy.local.pair import Pair
from harness.schema import make_topics, open_service_database
from services.audit.log.files import LogFiles
from services.audit.log.note import Signer
from services.audit.log.subjects import KeyBox
from services.audit.writer import Writer
from shared.contracts.addresses import topic_name
from shared.unit_of_work.database import Database
from tests.foreign import send_packed, send_with_header
from tests.integration.audit.sample import until

pytestmark = pytest.mark.integration


@pytest.fixture
def topic(namespace: str) -> str:
    return topic_name(namespace, "inquiry")


@pytest.fixture
async def audit(database: str, namespace: str, pair: Pair) -> AsyncIterator[Database]:
    await make_topics(pair.access, namespace, [])
    opened = await open_service_database(database, "audit", namespace=namespace, access=pair.access)
    yield opened
    await opened.close()


@pytest.fixture
async def producer(pair: Pair, audit: Database) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(**pair.access.options()) as made:
        yield made


@pytest.fixture
async def admin(pair: Pair) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**pair.access.options())
    await client.start()
    yield client
    await client.close()


@asynccontextmanager
async def writing(audit: Database, folder: Path) -> AsyncIterator[None]:
    signer, keys = Signer("audit.example.gov/log", bytes(range(32))), KeyBox(bytes(32))
    task = asyncio.create_task(Writer(audit, signer, keys, LogFiles(folder)).run())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def logged(audit: Database, topic: str, partition: int, offset: int) -> None:
    """Returns when the record at that offset is in the log."""

    async def there() -> bool:
        row = await audit.pool.fetchval(
            "SELECT next_offset FROM log_cursor WHERE topic = $1 AND partition = $2", topic, partition
        )
        return row is not None and row > offset

    await until(there, f"{topic}/{partition}/{offset} is logged")


async def test_records_that_are_gone_when_the_writer_comes_back_are_reported_and_the_rest_is_logged(
    audit: Database, topic: str, producer: AIOKafkaProducer, admin: AIOKafkaAdminClient, tmp_path: Path
) -> None:
    async with writing(audit, tmp_path):
        taken = await producer.send_and_wait(topic, b"taken", partition=0)
        await logged(audit, topic, 0, taken.offset)
    for _ in range(4):
        last = await producer.send_and_wait(topic, b"not yet", partition=0)
    # As Kafka's retention does.
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=last.offset)})
    before = lost("offset")
    async with writing(audit, tmp_path):
        await logged(audit, topic, 0, last.offset)
    assert lost("offset") - before == 3
    assert await audit.pool.fetchval("SELECT size FROM log_head") == 2


@pytest.mark.parametrize("name", [b"\xff\xfename", b"\xff" * 100_000])
async def test_a_header_name_that_is_no_text_is_logged_like_any_record_and_what_follows_too(
    audit: Database, topic: str, producer: AIOKafkaProducer, tmp_path: Path, name: bytes
) -> None:
    before = await audit.pool.fetchval("SELECT size FROM log_head")
    async with writing(audit, tmp_path):
        await send_with_header(producer, topic, b"key", b"beside such a name", name)
        behind = await producer.send_and_wait(topic, b"behind it", partition=0)
        await logged(audit, topic, 0, behind.offset)
    assert await audit.pool.fetchval("SELECT size FROM log_head") == before + 2


async def test_a_batch_that_our_client_could_not_unpack_is_unpacked_by_the_broker(
    audit: Database, topic: str, producer: AIOKafkaProducer, tmp_path: Path
) -> None:
    async with writing(audit, tmp_path):
        await logged(audit, topic, 0, await send_packed(producer, topic))


async def test_a_partition_that_a_topic_gets_while_the_writer_runs_is_read_too(
    audit: Database, namespace: str, producer: AIOKafkaProducer, admin: AIOKafkaAdminClient, tmp_path: Path
) -> None:
    topic = topic_name(namespace, "publisher")
    async with writing(audit, tmp_path):
        before = await producer.send_and_wait(topic, b"before", partition=0)
        await logged(audit, topic, 0, before.offset)
        missing = lost("offset"), lost("sequence")
        await admin.create_partitions({topic: NewPartitions(5)})
        await producer.client.force_metadata_update()
        sent = await producer.send_and_wait(topic, b"there", partition=4)
        await logged(audit, topic, 4, sent.offset)
    assert sent.offset == 0
    assert (lost("offset"), lost("sequence")) == missing


def lost(told_by: str) -> float:
    found = REGISTRY.get_sample_value("civicloom_log_lost_total", {"told_by": told_by})
    assert found is not None
    return found
