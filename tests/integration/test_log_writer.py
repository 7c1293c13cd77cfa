"""The writer and the publisher against a real PostgreSQL: exactly once, fenced, and never behind itself."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import orjson
import pytest

from services.audit.log.checkpoint import open_checkpoint
from services.audit.log.entry import commitment, parse_entry, salted_commitment
from services.audit.log.envelope import ERASED, prepare, prepare_ahead
from services.audit.log.errors import LogBroken
from services.audit.log.files import LogFiles
from services.audit.log.note import Signer
from services.audit.log.proof import Proof
from services.audit.log.prove import Prover
from services.audit.log.publish import publish
from services.audit.log.sequencer import Appended, Sequencer
from services.audit.log.source import Folder, read_tile
from services.audit.log.subjects import KeyBox, Subject
from services.audit.log.tiles import TileName
from services.audit.log.tree import verify_consistency
from services.audit.log.verify import verify
from shared.contracts.base import words_hash
from shared.errors import Stale
from shared.records import RawRecord
from tests.paths import REPO

pytestmark = pytest.mark.integration

MIGRATION = REPO / "services" / "audit" / "migrations" / "0001_log.sql"
SIGNER = Signer("audit.example.gov/log", bytes(range(32)))
KEYS = KeyBox(bytes(range(32, 64)))
APPENDED_MS = 1_795_000_000_000


class Topic:
    """A partition that hands out offsets."""

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
    up, _, _ = MIGRATION.read_text().partition("-- migrate:down")
    connection = await connect(database, name)
    await connection.execute(f"CREATE SCHEMA {name}")
    await connection.execute(up)
    yield name
    await connection.execute(f"DROP SCHEMA {name} CASCADE")
    await connection.close()


async def connect(database: str, schema: str) -> asyncpg.Connection:
    return await asyncpg.connect(database, server_settings={"search_path": schema})


async def open_log(connection: asyncpg.Connection, published: bytes | None = None) -> Sequencer:
    return await Sequencer.open(connection, SIGNER, KEYS, published)


async def append(sequencer: Sequencer, *records: RawRecord) -> Appended:
    return await sequencer.append(prepare(records))


async def entries(connection: asyncpg.Connection) -> list[dict[str, object]]:
    rows = await connection.fetch("SELECT entry FROM log_entry ORDER BY index")
    return [parse_entry(row["entry"]) for row in rows]


async def test_a_record_becomes_an_entry_under_a_signed_checkpoint(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    record = topic.event("subject", 1)
    appended = await append(sequencer, record)
    assert appended.note is not None
    assert open_checkpoint(appended.note.encode(), SIGNER.verifier).size == 1
    [entry] = await entries(connection)
    assert entry["commitment"] == commitment(record.value or b"")
    assert (entry["kind"], entry["source"], entry["sequence"]) == ("event", "/services/inquiry", 1)
    assert "subject" not in str(entry["subject"])


async def test_the_next_batch_can_be_prepared_while_one_is_appended(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    first = await prepare_ahead([topic.event("subject", n) for n in range(1, 201)])
    _, second = await asyncio.gather(
        sequencer.append(first), prepare_ahead([topic.event("subject", n) for n in range(201, 301)])
    )
    assert (await sequencer.append(second)).size == 300


async def test_the_tables_can_be_taken_back_and_made_again(connection: asyncpg.Connection) -> None:
    up, _, down = MIGRATION.read_text().partition("-- migrate:down")
    await connection.execute(down)
    await connection.execute(up)
    assert (await append(await open_log(connection), Topic().event("subject", 1))).size == 1


async def test_a_record_that_is_read_twice_is_logged_once(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    records = [topic.event("subject", n) for n in (1, 2, 3)]
    await append(sequencer, *records[:2])
    appended = await append(sequencer, *records)
    assert (appended.first, appended.size) == (2, 3)
    reopened = await open_log(connection)
    assert (await append(reopened, *records)).note is None
    assert reopened.next_offset(topic.name, 0) == 3
    assert reopened.next_offset(topic.name, 1) is None


async def test_a_producers_second_sending_is_dropped_within_and_across_batches(
    connection: asyncpg.Connection,
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    value = topic.event("subject", 1).value
    appended = await append(sequencer, topic.record(value), topic.record(value))
    assert (appended.size, appended.duplicates) == (1, 1)
    appended = await append(sequencer, topic.record(value))
    assert (appended.size, appended.duplicates, appended.note) == (1, 1, None)
    assert sequencer.next_offset(topic.name, 0) == topic.offset


async def test_another_value_at_a_known_place_is_an_incident_that_names_the_first(
    connection: asyncpg.Connection,
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, topic.event("subject", 1))
    second, third = topic.event("subject", 1), topic.event("subject", 1)
    appended = await append(sequencer, second, third)
    assert (appended.size, appended.incidents) == (3, 2)
    appended = await append(sequencer, topic.record(second.value), topic.record(third.value))
    assert (appended.size, appended.duplicates) == (3, 2)
    found = await entries(connection)
    assert [(entry["kind"], entry.get("first")) for entry in found] == [
        ("event", None),
        ("incident", 0),
        ("incident", 0),
    ]


async def test_the_same_sequence_of_another_source_epoch_or_subject_is_an_event_of_its_own(
    connection: asyncpg.Connection,
) -> None:
    sequencer, inquiry, routing = await open_log(connection), Topic("inquiry"), Topic("routing")
    appended = await append(
        sequencer,
        inquiry.event("subject", 1),
        inquiry.event("other", 1),
        inquiry.event("subject", 1, epoch=2),
        routing.event("subject", 1),
    )
    assert (appended.size, appended.incidents) == (4, 0)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff\xfe not UTF-8",
        b"[]",
        b'{"id": 1}',
        orjson.dumps({"type": "civic.inquiry.noted.v1", "source": "/services/inquiry"}),
    ],
)
async def test_what_nobody_understands_is_logged_and_can_be_opened(
    connection: asyncpg.Connection, value: bytes | None
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    appended = await append(sequencer, topic.record(value), topic.event("subject", 1))
    assert (appended.size, appended.unparseable) == (2, 1)
    first, _ = await entries(connection)
    row = await connection.fetchrow(
        """SELECT s.no, s.subject, s.key, w.sealed
        FROM log_words w JOIN log_subject s ON s.no = w.subject_no WHERE index = 0"""
    )
    assert row is not None
    opened = Subject(row["no"], KEYS.unwrap(row["subject"], row["key"])).unseal(0, row["sealed"])
    assert opened[16:] == (value or b"")
    assert first["commitment"] == salted_commitment(opened[:16], value or b"")
    assert set(first) == {"v", "kind", "time", "topic", "partition", "offset", "commitment"}


@pytest.mark.parametrize(
    "attributes",
    [
        {"source": "/services/routing"},
        {"source": "/services/inquiry/people/jane"},
        {"type": "civic.Jane Doe.v1"},
        {"salt": "short"},
        {"sequence": "1"},
        {"epoch": -1},
        {"id": "not-a-uuid"},
        {"subject": "\0"},
    ],
)
async def test_an_event_that_would_publish_what_it_must_not_is_unparseable(
    connection: asyncpg.Connection, attributes: dict[str, object]
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    assert (await append(sequencer, topic.event("subject", 1, **attributes))).unparseable == 1


async def test_words_are_sealed_and_come_back_with_the_key(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    words = orjson.dumps({"salt": "x", "text": "路灯坏了"})
    await append(sequencer, topic.event("subject", 1, words))
    row = await connection.fetchrow(
        "SELECT s.no, s.subject, s.key, w.sealed FROM log_words w JOIN log_subject s ON s.no = w.subject_no"
    )
    assert row is not None
    assert words not in row["sealed"]
    assert Subject(row["no"], KEYS.unwrap(row["subject"], row["key"])).unseal(0, row["sealed"]) == words
    with pytest.raises(LogBroken):
        KEYS.unwrap("another", row["key"])


async def test_words_that_do_not_fit_their_hash_are_not_kept(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    record = topic.event("subject", 1, b'{"salt":"x"}')
    appended = await append(sequencer, topic.record(record.value, b'{"salt":"y"}'))
    assert (appended.size, appended.words_refused) == (1, 1)
    assert await connection.fetchval("SELECT count(*) FROM log_words") == 0


async def test_erasure_destroys_key_and_words_and_leaves_the_tree_as_it_is(
    connection: asyncpg.Connection, files: LogFiles, tmp_path: Path
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    before = await append(
        sequencer, topic.event("gone", 1, b'{"salt":"a"}'), topic.event("stays", 1, b'{"salt":"b"}')
    )
    await append(
        sequencer,
        topic.event("gone", 2, b'{"salt":"c"}'),
        topic.event("gone", 3, type=ERASED),
        topic.event("gone", 4, b'{"salt":"d"}'),
    )
    await append(sequencer, topic.event("gone", 5, b'{"salt":"e"}'))
    assert await connection.fetchval("SELECT count(*) FROM log_words") == 1
    assert await connection.fetch("SELECT subject FROM log_subject WHERE key IS NULL") == [("gone",)]
    found = await entries(connection)
    names = [entry.get("subject") for entry in found]
    assert names[0] == names[2] == names[3] is not None
    assert names[4:] == [None, None]
    assert await publish(connection, files, SIGNER.verifier) == 6
    assert verify(tmp_path, SIGNER.verifier.vkey).ok
    old = open_checkpoint((before.note or "").encode(), SIGNER.verifier)
    new = open_checkpoint(files.checkpoint() or b"", SIGNER.verifier)
    proof = Prover(6, lambda name: read_tile(Folder(tmp_path), name)).consistency(2)
    verify_consistency(2, 6, old.root, new.root, proof)


async def test_a_reopened_log_knows_its_subjects_places_and_erasures(connection: asyncpg.Connection) -> None:
    topic = Topic()
    known, erased = topic.event("known", 2), topic.event("gone", 1, type=ERASED)
    await append(await open_log(connection), known, erased)
    appended = await append(
        await open_log(connection),
        topic.record(known.value),
        topic.event("known", 2),
        topic.event("known", 1),
        topic.record(erased.value),
        topic.event("gone", 2, b'{"salt":"a"}'),
    )
    assert (appended.size, appended.duplicates, appended.incidents) == (5, 2, 1)
    first, _, incident, late, after = await entries(connection)
    assert (incident["kind"], incident["first"]) == ("incident", 0)
    assert (late["kind"], late["sequence"], late["subject"]) == ("event", 1, first["subject"])
    assert "subject" not in after
    assert await connection.fetchval("SELECT count(*) FROM log_words") == 0


async def test_a_sequencer_that_failed_is_not_used_again(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await connection.execute("ALTER TABLE log_entry ADD CONSTRAINT none CHECK (kind <> 'event')")
    with pytest.raises(asyncpg.CheckViolationError):
        await append(sequencer, topic.event("subject", 1))
    with pytest.raises(Stale, match="open the log again"):
        await append(sequencer, topic.event("subject", 1))


async def test_only_inquiry_can_erase(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic("publisher")
    await append(
        sequencer, topic.event("subject", 1, b'{"salt":"a"}'), topic.event("subject", 2, type=ERASED)
    )
    assert await connection.fetchval("SELECT count(*) FROM log_words") == 1


async def test_a_second_writer_takes_over_and_the_first_stops(database: str, schema: str) -> None:
    one, two = await connect(database, schema), await connect(database, schema)
    first, topic = await open_log(one), Topic()
    record = topic.event("subject", 1)
    second = await open_log(two)
    with pytest.raises(Stale):
        await append(first, record)
    assert (await append(second, record)).size == 1
    with pytest.raises(Stale):
        await append(first, record)
    await one.close()
    await two.close()


async def test_a_commit_whose_answer_is_lost_is_neither_repeated_nor_forgotten(
    connection: asyncpg.Connection, database: str, schema: str
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    records = [topic.event("subject", n) for n in (1, 2)]
    await append(sequencer, records[0])
    connection.terminate()
    again = await connect(database, schema)
    reopened = await open_log(again)
    assert (await append(reopened, *records)).first == 1
    assert await again.fetchval("SELECT count(*) FROM log_entry") == 2
    await again.close()


async def test_what_postgresql_stored_otherwise_is_not_signed(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, topic.event("subject", 1))
    await connection.execute(
        """CREATE FUNCTION flip() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.entry := set_bit(NEW.entry, 77, 1 - get_bit(NEW.entry, 77)); RETURN NEW; END $$;
        CREATE TRIGGER flip BEFORE INSERT ON log_entry FOR EACH ROW EXECUTE FUNCTION flip()"""
    )
    with pytest.raises(LogBroken, match="two ways"):
        await append(sequencer, topic.event("subject", 2))
    assert await connection.fetchval("SELECT max(size) FROM log_checkpoint") == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log_entry SET entry = 'x'",
        "DELETE FROM log_entry",
        "TRUNCATE log_entry",
        "UPDATE log_checkpoint SET note = 'x'",
        "DELETE FROM log_checkpoint",
        "DELETE FROM log_tile",
        "DELETE FROM log_words",
        "UPDATE log_words SET sealed = 'x'",
        "DELETE FROM log_subject",
        "UPDATE log_subject SET key = 'x'",
        "UPDATE log_subject SET key = NULL, subject = 'x'",
        "UPDATE log_cursor SET next_offset = 0",
        "UPDATE log_head SET size = 0",
        "DELETE FROM log_head",
    ],
)
async def test_the_tables_refuse_to_forget(connection: asyncpg.Connection, statement: str) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, topic.event("subject", 1, b'{"salt":"a"}'))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)


async def test_a_log_behind_its_published_checkpoint_is_not_opened(
    connection: asyncpg.Connection, database: str, files: LogFiles, tmp_path: Path
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, topic.event("subject", 1))
    await publish(connection, files, SIGNER.verifier)
    async with empty_log(database) as restored:
        other = await connect(database, restored)
        with pytest.raises(LogBroken, match="1 entries are published, but the log has 0"):
            await open_log(other, files.checkpoint())
        forked = await open_log(other)
        await append(forked, topic.event("subject", 2), topic.event("subject", 3))
        with pytest.raises(LogBroken, match="has not signed a checkpoint of size 1"):
            await open_log(other, files.checkpoint())
        with pytest.raises(LogBroken, match="has not signed a checkpoint of size 1"):
            await publish(other, files, SIGNER.verifier)
        await other.close()
    assert verify(tmp_path, SIGNER.verifier.vkey).ok


async def test_another_signing_key_cannot_go_on_with_a_log(connection: asyncpg.Connection) -> None:
    await open_log(connection)
    with pytest.raises(LogBroken, match="is signed by"):
        await Sequencer.open(connection, Signer(SIGNER.name, bytes(32)), KEYS, None)


async def test_an_empty_log_can_be_published_and_verified(
    connection: asyncpg.Connection, files: LogFiles, tmp_path: Path
) -> None:
    with pytest.raises(LogBroken, match="never opened"):
        await publish(connection, files, SIGNER.verifier)
    await open_log(connection)
    assert await publish(connection, files, SIGNER.verifier) == 0
    assert verify(tmp_path, SIGNER.verifier.vkey).ok


async def test_a_log_published_in_uneven_steps_verifies_after_each_and_proves_its_entries(
    connection: asyncpg.Connection, files: LogFiles, tmp_path: Path
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    records: list[RawRecord] = []
    for count in (1, 254, 1, 1, 300, 700, 0, 35):
        batch = [topic.event("subject", len(records) + 1 + n) for n in range(count)]
        records += batch
        await append(sequencer, *batch)
        assert await publish(connection, files, SIGNER.verifier) == len(records)
        assert verify(tmp_path, SIGNER.verifier.vkey).ok
    assert not (tmp_path / "tile/0/000.p").exists()
    assert (tmp_path / "tile/1/000.p/5").exists()
    note = files.checkpoint()
    assert note is not None
    folder = Folder(tmp_path)
    prover = Prover(len(records), lambda name: read_tile(folder, name))
    for index in (0, 255, 256, 1000, len(records) - 1):
        entry = await connection.fetchval("SELECT entry FROM log_entry WHERE index = $1", index)
        proof = Proof(index, tuple(prover.inclusion(index)), note, entry)
        assert proof.verify_event(records[index].value or b"", SIGNER.verifier).size == len(records)


async def test_publishing_goes_on_where_a_crash_left_it(
    connection: asyncpg.Connection, files: LogFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, *(topic.event("subject", n) for n in range(1, 301)))
    await publish(connection, files, SIGNER.verifier)
    await append(sequencer, *(topic.event("subject", n) for n in range(301, 901)))
    for survived in range(3):
        with monkeypatch.context() as patched:
            patched.setattr(LogFiles, "add", crash_after(survived))
            with pytest.raises(OSError, match="crash"):
                await publish(connection, files, SIGNER.verifier)
        report = verify(tmp_path, SIGNER.verifier.vkey)
        assert (report.ok, report.entries) == (True, 300)
    assert await publish(connection, files, SIGNER.verifier) == 900
    assert verify(tmp_path, SIGNER.verifier.vkey).ok


def crash_after(calls: int) -> Callable[[LogFiles, Iterable[tuple[TileName, bytes]]], int]:
    """An `add` that works so many times and then dies."""
    add, left = LogFiles.add, iter(range(calls))

    def dying(self: LogFiles, files: Iterable[tuple[TileName, bytes]]) -> int:
        if next(left, None) is None:
            raise OSError("crash")
        return add(self, files)

    return dying
