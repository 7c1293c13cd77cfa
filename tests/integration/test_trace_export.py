"""Traces of a real log: the command, and the exporter against a collector that is away or refuses."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import REGISTRY

from harness.schema import SECRET, open_service_database
from services import cli
from services.audit.log.note import Signer
from services.audit.log.parsing import prepare
from services.audit.log.sequencer import Sequencer
from services.audit.log.subjects import KeyBox
from services.audit.log_size import LogSizeNotifier
from services.audit.tracing import exporter
from services.audit.tracing.exporter import Exporter
from services.audit.tracing.read import find, read_log, read_page
from shared.ids import derived_id, trace_id
from shared.kafka.records import RawRecord
from shared.unit_of_work.database import Database
from tests.collector import FakeCollector, fake_collector
from tests.integration.log.conftest import Topic
from tests.otlp import all_spans, parse, roots
from tests.waiting import until

pytestmark = pytest.mark.integration

SIGNER = Signer("audit.example.gov/log", bytes(range(32)))
KEYS = KeyBox(bytes(range(32, 64)))
NUMBERS = itertools.count(1)


def identifier(number: int) -> str:
    return f"019ab4c1-5c00-7abc-8def-{number:012x}"


class Log:
    """A log that is written here, and what reads it."""

    def __init__(self, database: Database, sequencer: Sequencer) -> None:
        self.database = database
        self.log_size = LogSizeNotifier()
        # All tests write one log: each in partitions of its own.
        number = next(NUMBERS)
        self.inquiry, self.routing = Topic("inquiry", number), Topic("routing", number)
        self._sequencer = sequencer

    async def append(self, *records: RawRecord) -> None:
        await self._sequencer.append(prepare(records))
        self.log_size.notify()

    async def cases(self, count: int) -> list[str]:
        """Cases of two events each, the second from another service and because of the first."""
        made, records = [], []
        for _ in range(count):
            number = next(NUMBERS)
            case, received = identifier(number), identifier(1_000_000 + number)
            caused = {
                "id": derived_id(received, "dispatched"),
                "causationid": received,
                "correlationid": case,
            }
            records.append(self.inquiry.event(case, 1, id=received, correlationid=case))
            records.append(self.routing.event(case, 1, **caused))
            made.append(case)
        await self.append(*records)
        return made

    @property
    def size(self) -> int:
        return self._sequencer.size

    async def cursor(self) -> int | None:
        return await self.database.pool.fetchval("SELECT next_index FROM trace_export")

    async def has_cursor(self) -> bool:
        return await self.cursor() is not None


@pytest.fixture(scope="module")
async def tables(database: str) -> AsyncIterator[Database]:
    opened = await open_service_database(database, "audit")
    yield opened
    await opened.close()


@pytest.fixture
async def log(tables: Database, database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Log]:
    for name, value in {"DATABASE_URL": database, "SECRET_KEY": SECRET}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(exporter, "_SETTLE_SECONDS", 0.05)
    await tables.pool.execute("DELETE FROM trace_export")
    connection = await tables.connect()
    yield Log(tables, await Sequencer.open(connection, SIGNER.verifier, KEYS, None))
    await connection.close()


@pytest.fixture
def collector() -> Iterator[FakeCollector]:
    with fake_collector() as running:
        yield running


@contextlib.asynccontextmanager
async def exporting(log: Log, collector: FakeCollector, **headers: str) -> AsyncIterator[None]:
    """Runs an exporter during the block; at the end it is cut off at any point, as by SIGKILL."""
    running = asyncio.create_task(
        Exporter(log.database, log.log_size, f"{collector.url}/v1/traces", headers).run()
    )
    try:
        await until(log.has_cursor, "the cursor")
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def all_sent(log: Log, collector: FakeCollector, seconds: float = 10) -> None:
    async def there() -> bool:
        return await log.cursor() == log.size

    await until(there, f"the log of {log.size} sent; {collector.asked} requests came", seconds)


def behind() -> float:
    return REGISTRY.get_sample_value("civicloom_trace_export_behind") or 0.0


# ---- the exporter ----


async def test_every_event_is_sent_once_and_in_order_as_one_tree_per_case(
    log: Log, collector: FakeCollector
) -> None:
    begun = log.size
    async with exporting(log, collector, authorization="Bearer k"):
        cases = [case for _ in range(3) for case in await log.cases(400)]
        await all_sent(log, collector)
    assert collector.indexes == list(range(begun, log.size))
    assert set(collector.paths) == {"/v1/traces"}
    assert {(h["content-type"], h["authorization"]) for h in collector.headers} == {
        ("application/json", "Bearer k")
    }
    assert [span.name for span in roots(collector.spans)] == ["civic.inquiry.noted.v1"] * len(cases)
    assert {span.trace_id.hex() for span in collector.spans} == {trace_id(case) for case in cases}
    assert behind() == 0


async def test_a_collector_that_is_away_for_a_while_loses_nothing(log: Log, collector: FakeCollector) -> None:
    begun = log.size
    collector.answers.extend([(503, {}, {}), (503, {"Retry-After": "1"}, {}), (429, {}, {})])
    async with exporting(log, collector):
        await log.cases(300)
        await until(lambda: collector.asked >= 2, "a second try")
        await log.cases(300)  # the log goes on meanwhile
        await until(lambda: behind() >= 1200, "the metric to show how far it is behind")
        assert (await log.cursor(), collector.taken) == (begun, [])
        await all_sent(log, collector)
    assert collector.indexes == list(range(begun, log.size))


@pytest.mark.parametrize("status", [301, 400, 401, 404, 415, 500])
async def test_what_an_operator_has_to_mend_loses_nothing(
    log: Log, collector: FakeCollector, status: int
) -> None:
    begun = log.size
    collector.answers.append((status, {}, {}))
    async with exporting(log, collector):
        await log.cases(1)
        await all_sent(log, collector)
    assert collector.indexes == list(range(begun, log.size))


async def test_nobody_listening_is_tried_again(log: Log, collector: FakeCollector) -> None:
    begun, url = log.size, collector.url
    collector.url = "http://127.0.0.1:1"
    async with exporting(log, collector):
        await log.cases(5)
        await until(lambda: behind() == 10, "it knows that it is behind")
    collector.url = url
    async with exporting(log, collector):
        await all_sent(log, collector)
    assert collector.indexes == list(range(begun, log.size))


async def test_killed_anywhere_and_started_again_it_repeats_spans_with_the_same_ids_and_forgets_none(
    log: Log, collector: FakeCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So small that something is left for each start: some send several before they are killed.
    monkeypatch.setattr(exporter, "_BATCH", 3)
    begun = log.size
    async with exporting(log, collector):
        await log.cases(150)
    for _ in range(12):
        asked = collector.asked
        async with exporting(log, collector):
            await until(lambda asked=asked: collector.asked > asked, "a request")  # type: ignore[misc]
    async with exporting(log, collector):
        await all_sent(log, collector)
    assert sorted(set(collector.indexes)) == list(range(begun, log.size))
    firsts = list(dict.fromkeys(collector.indexes))
    assert firsts == sorted(firsts)
    assert len({span.SerializeToString() for span in collector.spans}) == len(firsts)


async def test_of_two_copies_one_sends_and_the_other_takes_over(
    log: Log, collector: FakeCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "_WAIT_FOR_LOCK", 0.05)
    begun = log.size
    async with contextlib.AsyncExitStack() as first:
        await first.enter_async_context(exporting(log, collector))
        async with exporting(log, collector):
            await log.cases(10)
            await all_sent(log, collector)
            assert collector.indexes == list(range(begun, log.size))
            await first.aclose()
            await log.cases(10)
            await all_sent(log, collector)
    assert collector.indexes == list(range(begun, log.size))


async def test_a_session_that_is_ended_begins_again_where_it_was(
    log: Log, collector: FakeCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "_LONGEST_WAIT", 0.5)
    begun = log.size
    async with exporting(log, collector):
        await log.cases(10)
        await all_sent(log, collector)
        ended = await log.database.pool.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks "
            "WHERE locktype = 'advisory' AND classid::bigint = $1",
            exporter.LOCK,
        )
        assert ended == 1
        await log.cases(10)
        await all_sent(log, collector)
    assert collector.indexes == list(range(begun, log.size))


async def test_a_request_that_is_too_large_is_sent_in_parts(log: Log, collector: FakeCollector) -> None:
    begun, collector.largest = log.size, 20_000
    async with exporting(log, collector):
        await log.cases(100)
        await all_sent(log, collector)
    assert collector.indexes == list(range(begun, log.size))
    assert len(collector.taken) > 10


async def test_spans_that_the_collector_refuses_are_counted_and_not_sent_again(
    log: Log, collector: FakeCollector
) -> None:
    def refused() -> float:
        return REGISTRY.get_sample_value("civicloom_trace_spans_total", {"outcome": "refused"}) or 0.0

    before = refused()
    partial = {"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}
    collector.answers.append((200, {}, partial))
    async with exporting(log, collector):
        await log.cases(3)
        await all_sent(log, collector)
    assert (refused() - before, collector.asked) == (2, 1)


async def test_what_is_no_event_is_passed_over(log: Log, collector: FakeCollector) -> None:
    async with exporting(log, collector):
        await log.append(log.inquiry.record(b"not JSON"), log.inquiry.record(None))
        await all_sent(log, collector)
    assert collector.asked == 0


async def test_switched_on_it_begins_with_what_comes_then(log: Log, collector: FakeCollector) -> None:
    await log.cases(5)
    begun = log.size
    async with exporting(log, collector):
        await log.cases(1)
        await all_sent(log, collector)
    assert collector.indexes == [begun, begun + 1]


# ---- finding a trace ----


async def test_a_trace_is_found_by_case_event_and_trace_id_with_events_of_other_subjects(log: Log) -> None:
    (case,) = await log.cases(1)
    batch = log.inquiry.event("batch-7", 1, correlationid=case, id=identifier(next(NUMBERS) + 2_000_000))
    other = log.inquiry.event("batch-7", 2, correlationid="another")
    await log.append(batch, other)
    pool = log.database.pool
    event = json.loads(batch.value or b"")["id"]
    for reference in (case, case.upper(), trace_id(case), event, f" {event} "):
        assert await find(pool, reference) == case
    assert await find(pool, "another") == "another"
    assert await find(pool, "batch-7") is None
    found, next_index = await read_page(pool, case, 0, 100)
    assert (len(found), next_index) == (3, None)
    # The export sees the same, though the causes lie before what it reads.
    assert await read_log(pool, found[-1].index, log.size) == [
        found[-1],
        *(await read_page(pool, "another", 0, 10))[0],
    ]


async def test_a_huge_trace_comes_in_pages(log: Log) -> None:
    case = identifier(next(NUMBERS))
    records = [log.inquiry.event(case, n, correlationid=case if n % 2 else "else") for n in range(1, 2401)]
    await log.append(*records)
    pages, start = [], 0
    while start is not None:  # type: ignore[redundant-expr]
        page, start = await read_page(log.database.pool, case, start, 500)  # type: ignore[assignment]
        pages.append(page)
    assert [len(page) for page in pages] == [500, 500, 200]
    assert len({span.id for page in pages for span in page}) == 1200
    assert {span.parent for page in pages for span in page} == {None, pages[0][0].id}


# ---- the command ----


def run(*arguments: str) -> int:
    """As from a shell: commands start a loop of their own, so on a thread of its own."""
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(cli.main, list(arguments)).result()


async def test_the_command_shows_the_tree_or_otlp(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    (case,) = await log.cases(1)
    assert run("trace", case) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"trace {trace_id(case)}: 2 events of 2 services"
    assert shown[1].startswith("inquiry    civic.inquiry.noted.v1")
    assert shown[2].startswith("└ routing  civic.routing.noted.v1")
    assert shown[2].endswith(f"+0.000 s  #{log.size - 1}")
    assert run("trace", case, "--json") == 0
    assert len(all_spans(parse(json.loads(capsys.readouterr().out)))) == 2


@pytest.mark.parametrize(
    "reference",
    ["", " ", "nonsense", "路灯", "a\0b", "\udcff", "x" * 5000, identifier(9_999_999), "' OR 1=1"],
)
async def test_nonsense_is_one_sentence_and_exit_code_2(
    log: Log, capsys: pytest.CaptureFixture[str], reference: str
) -> None:
    assert run("trace", reference) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "the log has no trace of this id" in said.err


async def test_the_command_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("trace", "--help") == 0
    assert "The id of a case or of any event" in capsys.readouterr().out
