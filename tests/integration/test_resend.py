"""`civicloom resend`: what a topic has lost comes back as it was; what nobody has kept is listed."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import asyncpg
import orjson
import pytest

from deploy.local.pair import Pair
from harness.fixed_clock import FixedClock
from harness.schema import SECRET, make_topics, open_service_database, outbox_records
from services import cli
from services.audit.log.note import Signer
from services.audit.log.parsing import prepare
from services.audit.log.sequencer import Sequencer
from services.audit.log.subjects import KeyBox
from services.inquiry.domain.concern import Concern, Contact
from services.inquiry.intake import Intake
from services.inquiry.queries import erase_words_and_contact, insert_receipts
from shared.clock import machine_now
from shared.contracts.inquiry import ContactStated, InquiryReceived, InquiryReopened, InquiryWords
from shared.events.decoding import decode
from shared.ids import new_id
from shared.kafka.admin import KafkaAdmin
from shared.kafka.client import Producer, Reader, read_until
from shared.kafka.records import RawRecord
from shared.kafka_access import KafkaAccess
from shared.outbox.relay import Relay
from shared.packs import Packs
from shared.policy.loader import load_pack
from shared.unit_of_work.database import Database
from tests.integration.routing.conftest import DEADLINE
from tests.paths import REPO

pytestmark = pytest.mark.integration
RECEIVED = InquiryReceived(
    number="20261128-0123456789-A", kind="help", service_code="x", channel="web", secret_hash="0" * 64
)
REOPENED = InquiryReopened(cycle=2, deadline=DEADLINE)
WORDS = InquiryWords(title="路灯不亮", text="三天了。")
EVER = "2000-01-01T00:00Z"


@dataclass
class World:
    """inquiry with its topic and the log, and a command line that finds them."""

    inquiry: Database
    audit: Database
    access: KafkaAccess
    topic: str
    contacts: str
    sequencer: Sequencer = field(init=False)
    session: asyncpg.Connection = field(init=False)

    async def open_log(self) -> None:
        keys = KeyBox(self.audit.settings.key("audit subject keys"))
        self.session = await self.audit.connect()
        signer = Signer("a.example/log", bytes(32))
        self.sequencer = await Sequencer.open(self.session, signer.verifier, keys, None)

    async def take_in(self) -> str:
        """A case with its receipt; its event waits in the outbox."""
        case = new_id(machine_now())
        async with self.inquiry.transaction() as tx:
            tx.create([case])
            sent = tx.emit(RECEIVED, subject=case, words=WORDS)
            await insert_receipts(tx.connection, [(case, sent.value, sent.words)])
        return case

    async def reopen(self, case: str) -> None:
        async with self.inquiry.transaction([case]) as tx:
            tx.emit(REOPENED, subject=case)

    async def send(self) -> None:
        """The relay sends all that waits."""
        producer = Producer(self.access, "test")
        relay = Relay(self.inquiry, producer)
        while await self.inquiry.pool.fetchval("SELECT count(*) FROM outbox"):
            await relay.once()
        await relay._release()
        await producer.stop()

    async def records(self, topic: str | None = None) -> list[RawRecord]:
        reader = Reader(self.access, "test", [topic or self.topic])
        await reader.start({})
        ends = await reader.ends()
        found = [one async for records in read_until(reader, ends) for one in records]
        await reader.stop()
        return found

    async def log(self) -> None:
        """The log takes what is on the topic."""
        await self.sequencer.append(prepare(await self.records()))

    async def lose(self, access: KafkaAccess) -> None:
        """An operator deletes the topics and makes them again."""
        async with KafkaAdmin(access) as admin:
            await admin._client.delete_topics([self.topic, self.contacts])
        await make_topics(access, self.inquiry.settings.topic_namespace, [])


@pytest.fixture
async def world(
    pair: Pair, database: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    await make_topics(pair.access, namespace, [])
    more = {"namespace": namespace, "bootstrap": pair.access}
    inquiry = await open_service_database(database, "inquiry", **more)
    audit = await open_service_database(database, "audit", **more)
    environment = {
        "DATABASE_URL": database,
        "TOPIC_NAMESPACE": namespace,
        "SECRET_KEY": SECRET,
        **pair.access.environment(),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = World(inquiry, audit, pair.access, f"{namespace}.inquiry.v1", f"{namespace}.contact.v1")
    await made.open_log()
    yield made
    await made.session.close()
    await inquiry.pool.execute("TRUNCATE aggregate, outbox, received, inquiry, contact, timer, expectation")
    await _empty_log(database)
    await made.lose(pair.access)
    await inquiry.close()
    await audit.close()


async def _empty_log(database: str) -> None:
    """As the superuser: the log's triggers refuse it to everybody else."""
    connection = await asyncpg.connect(database, server_settings={"search_path": "audit"})
    await connection.execute(
        "SET session_replication_role = replica;"
        "TRUNCATE log_entry, log_subject, log_words, log_tile, log_checkpoint, log_cursor;"
        "TRUNCATE log_gap, log_refusal;"
        "UPDATE log_head SET size = 0, edge = '{}', subjects = 0, vkey = NULL"
    )
    await connection.close()


async def run(*arguments: str) -> int:
    """Runs the command in a thread: it has an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, cli.main, list(arguments))


def bytes_of(records: list[RawRecord]) -> set[tuple[bytes | None, bytes | None, bytes | None]]:
    return {(record.key, record.value, record.header("words")) for record in records}


async def test_a_whole_topic_sends_nothing_again(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    case = await world.take_in()
    await world.send()
    await world.reopen(case)
    assert await run("resend", "inquiry", "--since", "1h") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{world.topic}: 0 lost events are sent again",
        f"{world.contacts}: 0 lost events are sent again",
    ]
    assert await world.inquiry.pool.fetchval("SELECT count(*) FROM outbox") == 1


async def test_what_the_log_has_kept_comes_back_as_it_was(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [await world.take_in() for _ in range(3)]
    await world.reopen(cases[0])
    await world.send()
    before = await world.records()
    await world.log()
    await world.inquiry.pool.execute("TRUNCATE received")
    await world.lose(world.access)
    assert await run("resend", "inquiry", "--since", EVER, "--dry-run") == 0
    assert "4 lost events would be sent again" in capsys.readouterr().out
    assert await world.inquiry.pool.fetchval("SELECT count(*) FROM outbox") == 0
    assert await run("resend", "inquiry", "--since", EVER) == 0
    await world.send()
    after = await world.records()
    assert bytes_of(after) == bytes_of(before)
    assert len(after) == 4


async def test_an_intake_that_the_log_has_not_read_comes_back_from_its_receipt(world: World) -> None:
    await world.take_in()
    await world.send()
    before = await world.records()
    await world.lose(world.access)
    assert await run("resend", "inquiry", "--since", "1h") == 0
    await world.send()
    assert bytes_of(await world.records()) == bytes_of(before)


async def test_what_nobody_has_kept_is_listed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    case = await world.take_in()
    await world.send()
    await world.log()
    await world.reopen(case)
    await world.send()
    await world.lose(world.access)
    assert await run("resend", "inquiry", "--since", EVER, "--json") == 1
    said, _ = json.loads(capsys.readouterr().out)
    assert (said["found"], said["sent"]) == (1, 1)
    assert [(one["subject"], one["sequence"]) for one in said["nowhere"]] == [(case, 2)]
    assert said["nowhere"][0]["number"].startswith(f"{dt.datetime.now(dt.UTC):%Y}")


async def test_erased_words_do_not_come_back(world: World) -> None:
    case = await world.take_in()
    await world.send()
    await world.lose(world.access)
    async with world.inquiry.transaction([case]) as tx:
        tx.erase(case)
    assert await run("resend", "inquiry", "--since", "1h") == 0
    (record,) = await outbox_records(world.inquiry.pool, world.topic)
    assert record.header("words") is None


async def take_in(world: World, *contacts: Contact | None) -> list[str]:
    """Cases whose citizens left these contacts; all is sent."""
    packs = Packs(load_pack(REPO / "policies" / "cn-city"), REPO / "policies", world.inquiry.connect)
    concerns = [
        Concern(words=WORDS, kind="help", service_code="municipal-manhole", channel="web", contact=contact)
        for contact in contacts
    ]
    async with world.inquiry.transaction() as tx:
        cases = await Intake(packs, bytes(32)).take_in(tx, concerns)
    await world.send()
    return [case.id for case in cases]


async def test_lost_addresses_come_back_from_the_tables_of_inquiry(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    mail, hook = (
        Contact(email="resident@example.org", language="en"),
        Contact(webhook="https://example.org/h"),
    )
    mailed, hooked, _, erased = await take_in(world, mail, hook, None, mail)
    before = {record.key: orjson.loads(record.value or b"") for record in await world.records(world.contacts)}
    assert len(before) == 3
    await run("resend", "inquiry", "--since", "1h")
    assert f"{world.contacts}: 0 lost" in capsys.readouterr().out
    await world.lose(world.access)
    async with world.inquiry.transaction([erased]) as tx:
        tx.erase(erased)
        await tx.connection.execute("UPDATE inquiry SET erased_at = now() WHERE id = $1", erased)
        await erase_words_and_contact(tx.connection, erased)
    assert await run("resend", "inquiry", "--since", "1h", "--json") == 1
    _, said = json.loads(capsys.readouterr().out)
    assert (said["topic"], said["found"]) == (world.contacts, 1)
    assert [(one["subject"], one["sequence"]) for one in said["nowhere"]] == [(hooked, 1)]
    await world.send()
    (again,) = await world.records(world.contacts)
    assert again.key == mailed.encode()
    event, first = decode(again, ContactStated.contract, FixedClock(machine_now())).event, before[again.key]
    assert event.data.model_dump(exclude_none=True, mode="json") == first["data"]
    found = orjson.loads(again.value or b"")
    same = ("type", "source", "subject", "sequence", "epoch", "partitionkey", "correlationid", "data")
    assert {name: found[name] for name in same} == {name: first[name] for name in same}


@pytest.mark.parametrize(
    "arguments", [["nobody", "--since", "1h"], ["inquiry", "--since", "yesterday"], ["inquiry"]]
)
def test_nonsense_is_one_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["resend", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1
