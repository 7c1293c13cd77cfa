"""Tables that a backup has set back are brought to what is published, and the log goes on from there."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from deploy.local.pair import Pair
from harness.schema import make_topics
from services.audit.log.errors import LogBroken
from services.audit.log.files import LogFiles
from services.audit.log.publish import publish
from services.audit.log.rebuild import Rebuilt, rebuild
from services.audit.log.verify import verify
from shared.kafka.client import Producer, Reader, read_until
from shared.kafka.records import RawRecord
from tests.integration.log.conftest import KEYS, SIGNER, Topic, append, connect, empty_log, open_log

pytestmark = pytest.mark.integration
TABLES = ("log_subject", "log_entry", "log_words", "log_tile", "log_checkpoint", "log_cursor", "log_head")
WORDS = b'{"salt":"AAECAwQFBgcICQoLDA0ODw","text":"a street lamp"}'


@pytest.fixture
async def records(pair: Pair) -> list[RawRecord]:
    """700 events of 70 subjects on a real topic; the last one erases the first subject. And noise."""
    namespace = f"r{secrets.token_hex(4)}"
    await make_topics(pair.access, namespace, [])
    made, topic = Topic(), f"{namespace}.inquiry.v1"
    values = [made.event(f"subject-{n % 70}", n // 70 + 1, WORDS) for n in range(700)]
    values.append(made.event("subject-0", 11, type="civic.inquiry.erased.v1"))
    rows = [(topic, b"key", one.value or b"", one.header("words")) for one in values]
    rows.insert(400, (topic, b"key", b"noise", None))
    producer = Producer(pair.access, "test")
    await producer.publish(rows)
    await producer.stop()
    reader = Reader(pair.access, "test", [topic])
    await reader.start({})
    found = [one async for batch in read_until(reader, await reader.ends()) for one in batch]
    await reader.stop()
    assert len(found) == 702
    return found


@asynccontextmanager
async def backup_of(database: str, schema: str) -> AsyncIterator[asyncpg.Connection]:
    """The tables of the log as they are now, in another schema."""
    async with empty_log(database) as name:
        connection = await connect(database, name)
        await connection.execute("CREATE TABLE restore_note (what text, id text, note jsonb)")
        await connection.execute("SET session_replication_role = replica")  # the tables are append-only
        for table in TABLES:
            await connection.execute(
                f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM {schema}.{table}"
            )
        await connection.execute("SET session_replication_role = origin")
        try:
            yield connection
        finally:
            await connection.close()


async def rebuilt(connection: asyncpg.Connection, folder: Path, pair: Pair) -> Rebuilt:
    return await rebuild(connection, SIGNER, KEYS, folder, pair.access)


async def published(connection: asyncpg.Connection, files: LogFiles, records: list[RawRecord]) -> bytes:
    await append(await open_log(connection), *records)  # those that are logged already are skipped
    await publish(connection, files, SIGNER)
    checkpoint = files.checkpoint()
    assert checkpoint is not None
    return checkpoint


@pytest.mark.parametrize("kept", [0, 1, 300, 512])
async def test_a_log_set_back_continues_what_is_published(  # noqa: PLR0917  (fixtures)
    connection: asyncpg.Connection,
    database: str,
    schema: str,
    files: LogFiles,
    tmp_path: Path,
    pair: Pair,
    records: list[RawRecord],
    kept: int,
) -> None:
    await append(await open_log(connection), *records[:kept])
    async with backup_of(database, schema) as restored:
        checkpoint = await published(connection, files, records[:600])
        lost = await connection.fetch("SELECT index, entry, value, event_id, position FROM log_entry")
        with pytest.raises(LogBroken, match="a restore lost some"):
            await open_log(restored, checkpoint)
        result = await rebuilt(restored, tmp_path, pair)
        assert (result.entries, result.without_record) == (600 - kept, int(kept <= 400))
        found = await restored.fetch("SELECT index, entry, value, event_id, position FROM log_entry")
        assert sorted(found) == sorted(lost)
        sequencer = await open_log(restored, checkpoint)
        assert (await append(sequencer, *records)).size == 702
        await publish(restored, files, SIGNER)
        report = verify(tmp_path, SIGNER.verifier.vkey, since=checkpoint)
        assert report.failure is None
        assert report.entries == 702
        assert await rebuilt(restored, tmp_path, pair) == Rebuilt()


async def test_an_erasure_is_repeated(  # noqa: PLR0917  (fixtures)
    connection: asyncpg.Connection,
    database: str,
    schema: str,
    files: LogFiles,
    tmp_path: Path,
    pair: Pair,
    records: list[RawRecord],
) -> None:
    await append(await open_log(connection), *records[:300])
    async with backup_of(database, schema) as restored:
        await published(connection, files, records)
        assert (await rebuilt(restored, tmp_path, pair)).erased == {"subject-0"}
        assert await restored.fetchval("SELECT key FROM log_subject WHERE subject = 'subject-0'") is None
        assert await restored.fetchval("SELECT id FROM restore_note WHERE what = 'erased'") == "subject-0"
        words = await restored.fetchval(
            "SELECT count(*) FROM log_words JOIN log_subject ON no = subject_no WHERE subject = 'subject-0'"
        )
        assert words == 0


async def test_an_erasure_is_repeated_even_if_the_topic_has_no_records_left(  # noqa: PLR0917  (fixtures)
    connection: asyncpg.Connection,
    database: str,
    schema: str,
    files: LogFiles,
    tmp_path: Path,
    pair: Pair,
    records: list[RawRecord],
) -> None:
    """The subject is found by its pseudonym: its key was in the backup."""
    elsewhere = [
        RawRecord("gone.inquiry.v1", 0, one.offset, one.timestamp_ms, one.key, one.value, one.headers)
        for one in records
    ]
    await make_topics(pair.access, "gone", [])
    await append(await open_log(connection), *elsewhere[:300])
    async with backup_of(database, schema) as restored:
        await published(connection, files, elsewhere)
        result = await rebuilt(restored, tmp_path, pair)
        assert result.without_record == 402
        assert result.erased == {"subject-0"}
        assert (await append(await open_log(restored, files.checkpoint()))).size == 702
