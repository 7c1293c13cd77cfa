"""The log on a real PostgreSQL, without its service: empty tables, and a topic that assigns offsets."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import orjson
import pytest

from services.audit.log.entry import parse_entry
from services.audit.log.files import LogFiles
from services.audit.log.note import Signer
from services.audit.log.parsing import prepare
from services.audit.log.sequencer import Appended, Sequencer
from services.audit.log.subjects import KeyBox
from shared.contracts.base import words_hash
from shared.kafka.records import RawRecord
from tests.paths import REPO

MIGRATIONS = [
    path.read_text().partition("-- migrate:down")
    for path in sorted((REPO / "services" / "audit" / "migrations").glob("*.sql"))
]
SIGNER = Signer("audit.example.gov/log", bytes(range(32)))
KEYS = KeyBox(bytes(range(32, 64)))
APPENDED_MS = 1_795_000_000_000


class Topic:
    """A partition that assigns offsets."""

    def __init__(self, service: str = "inquiry", partition: int = 0) -> None:
        self.name = f"t.{service}.v1"
        self.service = service
        self.partition = partition
        self.offset = 0

    def record(self, value: bytes | None, words: bytes | None = None) -> RawRecord:
        headers = () if words is None else (("words", words),)
        record = RawRecord(self.name, self.partition, self.offset, APPENDED_MS, b"key", value, headers)
        self.offset += 1
        return record

    def event(self, about: str, number: int, words: bytes | None = None, **attributes: object) -> RawRecord:
        event = {
            "specversion": "1.0",
            "type": f"civic.{self.service}.noted.v1",
            "id": str(uuid.uuid4()),
            "source": f"/services/{self.service}",
            "subject": about,
            "sequence": f"{number:010d}",
            "epoch": 1,
            "salt": "AAECAwQFBgcICQoLDA0ODw",
            "data": {},
            **({} if words is None else {"wordshash": words_hash(words)}),
            **attributes,
        }
        return self.record(orjson.dumps(event), words)


@pytest.fixture
async def schema(database: str) -> AsyncIterator[str]:
    async with empty_log(database) as name:
        yield name


@pytest.fixture
async def connection(database: str, schema: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(database, schema)
    yield connection
    await connection.close()


@pytest.fixture
def files(tmp_path: Path) -> LogFiles:
    return LogFiles(tmp_path)


@asynccontextmanager
async def empty_log(database: str) -> AsyncIterator[str]:
    """The tables of a log in a schema of their own."""
    name = f"audit_{uuid.uuid4().hex[:8]}"
    connection = await connect(database, name)
    await connection.execute(f"CREATE SCHEMA {name}")
    for up, _, _ in MIGRATIONS:
        await connection.execute(up)
    yield name
    await connection.execute(f"DROP SCHEMA {name} CASCADE")
    await connection.close()


async def connect(database: str, schema: str) -> asyncpg.Connection:
    return await asyncpg.connect(database, server_settings={"search_path": schema})


async def open_log(connection: asyncpg.Connection, published: bytes | None = None) -> Sequencer:
    return await Sequencer.open(connection, SIGNER.verifier, KEYS, published)


async def append(sequencer: Sequencer, *records: RawRecord) -> Appended:
    return await sequencer.append(prepare(records))


async def entries(connection: asyncpg.Connection) -> list[dict[str, object]]:
    rows = await connection.fetch("SELECT entry FROM log_entry ORDER BY index")
    return [parse_entry(row["entry"]) for row in rows]
