"""`civicloom dlq` and `civicloom outbox` on a service's real tables."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.schema import SECRET, open_service_database
from services import cli
from shared.contracts.inquiry import InquiryErased, InquiryReceived
from shared.events.decoding import IncomingEvent
from shared.ids import new_id
from shared.inbox.dead_letters import KEEP_RESOLVED, DeadLetters, Selection, prune_dead_letters
from shared.inbox.floods import FloodLimit
from shared.inbox.handlers import Fault, Handlers, Results
from shared.inbox.parking import Parking
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx
from tests.integration.shared.conftest import NOW, Source

KEY = "01a20b31-b3bb-7773-a1b2-3eb064159e46"


@pytest.fixture
async def routing(database: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    await asyncio.gather(*(_migrated(database, service) for service in ("publisher", "inquiry", "audit")))
    opened = await open_service_database(database, "routing", namespace=namespace)
    for name, value in {"DATABASE_URL": database, "TOPIC_NAMESPACE": namespace, "SECRET_KEY": SECRET}.items():
        monkeypatch.setenv(name, value)
    yield opened
    await opened.pool.execute(
        "TRUNCATE aggregate, outbox, outbox_aside, cursor, parked_key, parked_event, dead_letter, flood"
    )
    await opened.close()


async def _migrated(database: str, service: str) -> None:
    await (await open_service_database(database, service)).close()  # type: ignore[arg-type]


@pytest.fixture
def source(namespace: str) -> Source:
    return Source(f"{namespace}.inquiry.v1")


class Toy:
    """Handlers that refuse the sequences in `refused` for good, and write down what they applied."""

    def __init__(self, database: Database) -> None:
        self.applied: list[int] = []
        self.refused: set[int] = set()
        self.handlers = Handlers()
        self.handlers.on(InquiryReceived)(self._apply)
        self.slices = PartitionBatchProcessor(database, "toy", self.handlers)
        self.parking = Parking(database, "toy", self.handlers)

    async def _apply(self, _: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        faults = []
        for event in events:
            sequence = int(event.event.sequence or 0)
            bad = sequence in self.refused
            faults.append(Fault("bad", "not so", permanent=True) if bad else None)
            if not bad:
                self.applied.append(sequence)
        return faults


@pytest.fixture
async def stuck(routing: Database, source: Source) -> Toy:
    """Three events of one key, of which the first is a dead letter."""
    toy = Toy(routing)
    toy.refused = {1}
    for _ in range(3):
        source.received(KEY)
    await toy.slices.process(source.records)
    assert toy.applied == []
    return toy


def run(*arguments: str) -> int:
    """As from a shell: commands start a loop of their own, so on a thread of its own."""
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(cli.main, list(arguments)).result()


async def test_a_replayed_key_is_applied_from_its_first_event_on(
    stuck: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("dlq", "list", "--json") == 1
    (letter,) = json.loads(capsys.readouterr().out)
    assert (letter["service"], letter["key"], letter["waiting"]) == ("routing", KEY, 3)
    stuck.refused = set()
    assert await stuck.parking.once() == 0
    assert run("dlq", "replay", "routing", str(letter["id"])) == 0
    assert await stuck.parking.once() == 1
    assert stuck.applied == [1, 2, 3]
    assert run("dlq", "list") == 0


async def test_a_replay_that_fails_again_is_a_new_dead_letter_and_keeps_the_order(
    stuck: Toy, routing: Database
) -> None:
    first = await routing.pool.fetchval("SELECT id FROM dead_letter")
    assert run("dlq", "replay", "routing", str(first)) == 0
    assert await stuck.parking.once() == 0
    assert stuck.applied == []
    open_ones = await routing.pool.fetch("SELECT id FROM dead_letter WHERE resolution IS NULL")
    assert [row["id"] > first for row in open_ones] == [True]


async def test_a_discarded_event_is_dropped_on_the_record_and_its_key_goes_on(
    stuck: Toy, routing: Database, source: Source
) -> None:
    number = await routing.pool.fetchval("SELECT id FROM dead_letter")
    assert run("dlq", "discard", "routing", str(number), "--reason", "重复", "--operator", "op") == 0
    assert await stuck.parking.once() == 1
    assert stuck.applied == [2, 3]
    row = await routing.pool.fetchrow("SELECT resolution, resolved_by, reason FROM dead_letter")
    assert row is not None
    assert tuple(row) == ("discarded", "op", "重复")
    sent = [
        json.loads(value["value"])
        for value in await routing.pool.fetch("SELECT value FROM outbox ORDER BY id")
    ]
    assert [event["type"] for event in sent] == [
        "civic.routing.deadletter_recorded.v1",
        "civic.routing.deadletter_discarded.v1",
    ]
    assert sent[1]["subject"] == KEY
    assert sent[1]["data"] == {"dead_letter": number, "operator": "op"}
    # The relay of its writer may have sent it twice: the second copy is not applied either.
    stuck.refused = set()
    source.add(source.records[0].value or b"", source.records[0].header("words"), KEY)
    await stuck.slices.process(source.records[-1:])
    assert stuck.applied == [2, 3]


async def test_the_last_event_of_a_key_leaves_it_free(routing: Database, source: Source) -> None:
    toy = Toy(routing)
    toy.refused = {1}
    source.received(KEY)
    await toy.slices.process(source.records)
    number = await routing.pool.fetchval("SELECT id FROM dead_letter")
    assert run("dlq", "discard", "routing", str(number), "--reason", "x") == 0
    assert await routing.pool.fetchval("SELECT count(*) FROM parked_key") == 0
    source.received(KEY)
    await toy.slices.process(source.records[-1:])
    assert toy.applied == [2]


async def test_bytes_without_a_key_are_shown_and_discarded_but_never_replayed(
    routing: Database, source: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = Toy(routing)
    source.add(b"\xff{", None, "k")
    await toy.slices.process(source.records)
    number = str(await routing.pool.fetchval("SELECT id FROM dead_letter"))
    assert run("dlq", "show", "routing", number, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"value": "\\xff{", "words": None, "erased": False}
    assert run("dlq", "replay", "routing", number) == 1
    assert run("dlq", "discard", "routing", number, "--reason", "noise") == 0
    assert run("dlq", "discard", "routing", number, "--reason", "noise") == 1
    assert run("dlq", "list") == 0
    # Nobody knows whose they were, so that nothing of them stays.
    capsys.readouterr()
    assert run("dlq", "show", "routing", number) == 0
    assert capsys.readouterr().out.splitlines()[0] == "(the value is gone)"


async def test_a_letter_of_an_erased_case_is_listed_and_shown_without_words(
    stuck: Toy, routing: Database, source: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    stuck.handlers.on(InquiryErased)(stuck._apply)  # type: ignore[arg-type]
    await stuck.slices.process([source.fact(KEY, InquiryErased(basis="court_order"))])
    assert run("dlq", "list", "--json") == 1
    (letter,) = json.loads(capsys.readouterr().out)
    assert (letter["erased"], letter["resolution"], letter["waiting"]) == (True, None, 4)
    assert run("dlq", "list") == 1
    assert f"{letter['id']}  open, its case is erased  civic.inquiry" in capsys.readouterr().out
    assert run("dlq", "show", "routing", str(letter["id"])) == 0
    assert "the words are gone" in capsys.readouterr().out


@pytest.mark.parametrize("end", [["discard", "--reason", "x"], ["replay"]])
async def test_a_resolved_letter_has_no_words_and_says_so(
    stuck: Toy, routing: Database, end: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    number = str(await routing.pool.fetchval("SELECT id FROM dead_letter"))
    assert run("dlq", "show", "routing", number) == 0
    assert "words: " in capsys.readouterr().out
    assert run("dlq", end[0], "routing", number, *end[1:]) == 0
    capsys.readouterr()
    assert run("dlq", "show", "routing", number) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "the words are gone: the letter is resolved or its case erased"
    ]
    assert run("dlq", "show", "routing", number, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (json.loads(shown["value"])["subject"], shown["words"], shown["erased"]) == (KEY, None, True)
    # What waits to be tried again still has them.
    stuck.refused = set()
    assert await stuck.parking.once() == 1
    assert stuck.applied == ([1, 2, 3] if end == ["replay"] else [2, 3])


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "routing", "999"],
        ["replay", "routing", "999"],
        ["replay", "nobody", "1"],
        ["replay", "routing", "0"],
        ["replay", "routing", "x"],
        ["discard", "routing", "1"],
        ["discard", "routing", "1", "--reason", " "],
        ["list", "--service", "nobody"],
        ["list", "--limit", "0"],
        ["discard", "routing", "--reason", "x"],
        ["discard", "routing", "1", "--reason", "x", "--topic", "t"],
        ["discard", "routing", "--reason", "x", "--before", "yesterday", "--yes"],
        ["replay", "routing"],
        ["replay", "routing", "1", "--error", "e"],
        ["resume", "routing"],
        ["resume", "nobody", "t"],
        ["resume", "routing", "t", "--allow", "-1"],
    ],
)
async def test_nonsense_ends_with_a_sentence_and_2(
    routing: Database, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("dlq", *arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


async def test_the_outbox_tells_what_waits_and_what_a_topic_refuses(
    routing: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("outbox") == 0
    await routing.pool.execute(
        "INSERT INTO outbox (topic, key, value) VALUES ('t', 'k', '{}'), ('t', 'l', '{}')"
    )
    capsys.readouterr()
    assert run("outbox", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"service": "routing", "topic": "t", "waiting": 2, "set_aside": 0}
    ]
    await routing.pool.execute(
        "INSERT INTO outbox_aside (id, shard, topic, key, value) VALUES (1, 0, 'gone', 'k', '{}')"
    )
    assert run("outbox") == 1


async def test_a_resolved_letter_is_kept_for_more_than_a_year_and_an_open_one_always(
    stuck: Toy, routing: Database, source: Source
) -> None:
    await stuck.slices.process([source.add(b"\xff{", None, "k")])
    first, second = [row["id"] for row in await routing.pool.fetch("SELECT id FROM dead_letter ORDER BY id")]
    letters = DeadLetters(routing)
    await letters.discard(first, "op", "x")
    await routing.pool.execute("UPDATE dead_letter SET recorded_at = '1990-01-01'")
    await prune_dead_letters(routing.pool)
    assert len(await letters.list(resolved=True)) == 2
    await routing.pool.execute(
        "UPDATE dead_letter SET resolved_at = resolved_at - $1::interval", KEEP_RESOLVED
    )
    await prune_dead_letters(routing.pool)
    assert [letter.id for letter in await letters.list(resolved=True)] == [second]


async def test_a_letter_that_an_older_release_resolved_is_kept_from_now_on(
    stuck: Toy, routing: Database
) -> None:
    await routing.pool.execute("UPDATE dead_letter SET resolution = 'discarded', recorded_at = '1990-01-01'")
    await prune_dead_letters(routing.pool)
    assert await routing.pool.fetchval("SELECT resolved_at > now() - interval '1 minute' FROM dead_letter")


@pytest.fixture
async def many(routing: Database, source: Source) -> Toy:
    """Ten keys, each with a dead letter and an event behind it, and 20 records that nobody can read."""
    toy = Toy(routing)
    toy.refused = {1}
    keys = [new_id(NOW) for _ in range(10)]
    for _ in range(2):
        for key in keys:
            source.received(key)
    for _ in range(20):
        source.add(b"junk")
    await toy.slices.process(source.records)
    assert toy.applied == []
    return toy


async def test_a_flood_of_dead_letters_is_discarded_at_once(
    many: Toy, routing: Database, source: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--topic", source.topic, "--error", "bad", "--before", "2999-01-01"]
    assert run("dlq", "discard", "routing", "--reason", "x", *chosen) == 2
    assert "10 open dead letters of routing" in (err := capsys.readouterr().err)
    assert "--yes" in err
    assert await routing.pool.fetchval("SELECT count(*) FROM dead_letter WHERE resolution IS NOT NULL") == 0
    assert run("dlq", "discard", "routing", "--reason", "x", *chosen, "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "service": "routing",
        "count": 10,
        "resolution": "discarded",
    }
    sent = await routing.pool.fetchval(
        "SELECT count(*) FROM outbox WHERE convert_from(value, 'UTF8') LIKE '%deadletter_discarded%'"
    )
    assert sent == 10
    assert await many.parking.once() == 10
    assert many.applied == [2] * 10
    rest = await routing.pool.fetch("SELECT error, records FROM dead_letter WHERE resolution IS NULL")
    assert [tuple(row) for row in rest] == [("Undecodable", 20)]
    # What is discarded counts as processed.
    many.refused = set()
    await many.slices.process([source.add(source.records[0].value or b"", source.records[0].header("words"))])
    assert many.applied == [2] * 10


async def test_a_flood_of_dead_letters_is_replayed_at_once(
    many: Toy, routing: Database, source: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    many.refused = set()
    assert run("dlq", "replay", "routing", "--topic", source.topic, "--yes") == 0
    shown = capsys.readouterr()
    assert "10 open dead letters of routing (1 without a readable key stay)" in shown.err
    assert shown.out == "routing: 10 replayed\n"
    assert await many.parking.once() == 10
    assert sorted(many.applied) == [1] * 10 + [2] * 10
    assert run("dlq", "replay", "routing", "--error", "no such error", "--yes") == 0
    assert "0 replayed" in capsys.readouterr().out


async def test_more_letters_than_one_transaction_takes_are_all_discarded(
    routing: Database, source: Source
) -> None:
    toy = Toy(routing)
    toy.refused = {1}
    for _ in range(1100):
        source.received()
    await toy.slices.process(source.records)
    letters = DeadLetters(routing)
    assert await letters.count(Selection(topic=source.topic)) == (1100, 0)
    assert await letters.discard_all(Selection(topic=source.topic), "op", "x") == 1100
    assert await letters.list() == []
    assert await routing.pool.fetchval("SELECT count(*) FROM parked_key") == 0


async def test_the_list_has_pages(many: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("dlq", "list", "--service", "routing", "--limit", "6", "--json") == 1
    first = json.loads(capsys.readouterr().out)
    assert run("dlq", "list", "--service", "routing", "--limit", "6") == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"there may be more: civicloom dlq list --service routing --after {first[-1]['id']}"
    assert run("dlq", "list", "--service", "routing", "--after", str(first[-1]["id"])) == 1
    assert len(capsys.readouterr().out.splitlines()) == 5


async def test_a_letter_of_many_records_says_where_they_are(
    many: Toy, routing: Database, source: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    number = str(await routing.pool.fetchval("SELECT id FROM dead_letter WHERE key IS NULL"))
    assert run("dlq", "show", "routing", number) == 0
    shown = capsys.readouterr().out
    assert "the first of 20 records" in shown
    assert f"between the offsets 20 and 39 of {source.topic}, partition 0" in shown
    assert run("dlq", "show", "routing", number, "--json") == 0
    assert json.loads(capsys.readouterr().out)["records"] == 20


async def test_a_paused_partition_is_listed_and_read_on_by_command(
    routing: Database, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = f"{namespace}.department.water.actions.v1"
    await FloodLimit(routing, "routing.actions").pause((topic, 0))
    assert run("dlq", "list") == 0
    assert f"routing: partition 0 of {topic} is paused until" in capsys.readouterr().out
    assert run("dlq", "resume", "routing", topic, "--allow", "5000") == 0
    assert await routing.pool.fetchval("SELECT records FROM flood") == -5000
    assert run("dlq", "resume", "routing", topic) == 1
