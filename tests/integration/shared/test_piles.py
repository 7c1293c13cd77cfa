"""No statement reads much more than it answers, however much waits in the tables.

Looking for sequential scans sees nothing: the relay switches them off, and then an index is read whole. Of an
index that is searched by a later column, a plan does not say how much was read.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import asyncpg
import pytest

from harness.piles import (
    Call,
    Caller,
    core_calls,
    fill,
    fill_service,
    first_columns,
    indexes_read_whole,
    rows_answered,
    rows_read,
)
from harness.schema import open_service_database
from harness.service_piles import service_calls
from shared import sql
from shared.settings import SERVICES
from tests.paths import REPO

ROWS = 50_000
_MOST_PER_ANSWER = 10
_CONSTANT = 200
"""For look-ups that find nothing, of up to a hundred keys."""

# Statements that read more, each with the reason.
READS_MORE = {
    "count_outbox": "counts for an operator's command",
    "count_paused_rows": "counts once whenever shards change hands",
    "list_log_gaps": "an operator's list, as above",
    "subscribers_page": "passes all active subscriptions once for each publication that is pushed",
    "count_triage": "counts what waits for a dispatcher",
    "list_dead_letters": "an operator's list, which is planned with its arguments when it is read once",
    "count_dead_letters": "counts what an operator has selected",
    "matching_dead_letters": "an operator's selection, searched once",
    "count_waiting": "counts whole tables for an operator's command",
    "emitted_ordinals": "all that a source has emitted, for an operator's search for lost events",
    "make_aggregates_of_timers": "looks through the timers once in ten minutes",
    "see_topic_losses": "an operator's command, over the losses that nobody has looked at",
    "waiting_values": "all that waits for a topic, for the same search",
}


# Statements that count, as often as the service likes, and how far: rows they may read, whatever waits.
COUNTS_UP_TO = {
    "count_parked": 10_000 + 10_000,
    "count_log_gaps": 10_000,
    # A thousand subjects, each with a look into the log.
    "next_subjects": 3_000,
    "begun_since": 4_000,
    # Of the kind of which most wait; the other three are less, and deliveries are counted and then read.
    "count_unanswered": 10_000 + 4 * ROWS // 10,
}


class Tables:
    """A connection to the large tables of each service; the core's are routing's."""

    def __init__(
        self, connections: Mapping[str, asyncpg.Connection], first_columns: Mapping[str, dict[str, str]]
    ) -> None:
        self._connections = connections
        self._first_columns = first_columns

    def of(self, call: Call) -> asyncpg.Connection:
        return self._connections[self._service(call)]

    def first_columns(self, call: Call) -> dict[str, str]:
        """Those of all indexes as they were filled: a test may drop an index, but makes none."""
        return self._first_columns[self._service(call)]

    def _service(self, call: Call) -> str:
        parts = call.package.split(".")
        return parts[1] if parts[0] == "services" else "routing"


@pytest.fixture(scope="module")
async def tables(database: str) -> AsyncIterator[Tables]:
    connections: dict[str, asyncpg.Connection] = {}
    async with AsyncExitStack() as stack:
        for service in SERVICES:
            opened = await open_service_database(database, service)
            stack.push_async_callback(opened.close)
            connection = await stack.enter_async_context(opened.pool.acquire())
            await fill_service(connection, service, ROWS)  # type: ignore[arg-type]
            connections[service] = connection  # type: ignore[assignment]
        await fill(connections["routing"], ROWS)
        firsts = {service: await first_columns(connection) for service, connection in connections.items()}
        yield Tables(connections, firsts)


EXCEPTIONS = READS_MORE.keys() | COUNTS_UP_TO.keys()
CALLS = [*core_calls(ROWS), *service_calls(ROWS)]


def named() -> set[tuple[str, str]]:
    """Every named statement of the core and of the services."""
    folders = [REPO / "shared", REPO / "services"]
    files = [path for folder in folders for path in folder.rglob("*.sql") if path.parent.name != "migrations"]
    assert len(files) >= 11
    found = set()
    for path in files:
        package = ".".join(path.parent.relative_to(REPO).parts)
        if package == "shared.restore":
            continue  # a restore reads whole tables, once, while the services are stopped
        statements = sql.load(package, path.name)
        found |= {(package, name) for name, statement in statements.items() if not is_setting(statement)}
    return found


def is_setting(statement: str) -> bool:
    """Whether it only changes settings of the session: there is no plan, and no row is read."""
    lines = [line for line in statement.splitlines() if not line.startswith("--")]
    return all(part.strip().startswith("SET ") for part in " ".join(lines).split(";"))


def test_every_statement_is_called() -> None:
    assert {(call.package, call.name) for call in CALLS} == named()


async def test_an_exception_is_one(tables: Tables) -> None:
    more = [call for call in CALLS if call.name in EXCEPTIONS]
    found = {call.name for call in more if await excess(tables, call, generic=True)}
    assert found == EXCEPTIONS


@pytest.mark.parametrize("generic", [False, True], ids=["planned-with-arguments", "planned-once"])
async def test_a_count_stops_at_its_bound(tables: Tables, generic: bool) -> None:
    read = {
        (call.name, call.arguments): rows_read(await Caller(tables.of(call), generic=generic).explain(call))
        for call in CALLS
        if call.name in COUNTS_UP_TO
    }
    assert {one: rows for one, rows in read.items() if rows > COUNTS_UP_TO[one[0]]} == {}


async def excess(tables: Tables, call: Call, *, generic: bool) -> str | None:
    """What a call has read, if that is too much."""
    plan = await Caller(tables.of(call), generic=generic).explain(call)
    if whole := indexes_read_whole(plan, tables.first_columns(call)):
        return f"{call.name} reads all of {whole}"
    read, answered = rows_read(plan), rows_answered(plan)
    if read <= _MOST_PER_ANSWER * answered + _CONSTANT:
        return None
    return f"{call.name} reads {read} rows to answer {answered}"


@pytest.mark.parametrize("generic", [False, True], ids=["planned-with-arguments", "planned-once"])
async def test_no_statement_reads_ten_times_what_it_answers(tables: Tables, generic: bool) -> None:
    found = [await excess(tables, call, generic=generic) for call in CALLS if call.name not in EXCEPTIONS]
    assert [one for one in found if one] == []


@pytest.mark.parametrize(
    ("without", "reads_more"),
    [
        ("DROP INDEX inquiry_state", {"list_cases_in", "list_to_accept"}),
        ("DROP INDEX publication_topic_page", {"public_publications_on"}),
        ("DROP INDEX publication_in_force", {"public_publications"}),
        ("DROP INDEX publication_state", {"desk_publications_in"}),
        ("DROP INDEX publication_version_change", {"feed_changed_at"}),
        ("DROP INDEX delivery_open", {"push_is_open", "drop_open_notices"}),
        ("DROP INDEX log_entry_other", {"entries_of_subject"}),
        ("ALTER TABLE outbox DROP CONSTRAINT outbox_pkey", {"take_batch", "oldest_written"}),
        ("ALTER TABLE outbox_aside DROP CONSTRAINT outbox_aside_pkey", {"take_paused_batch"}),
        ("DROP INDEX outbox_key", {"lock_outbox_of"}),
        ("DROP INDEX outbox_paused_key", {"lock_paused_of"}),
        ("DROP INDEX outbox_paused_age", {"oldest_written"}),
        ("DROP INDEX timer_due", {"lock_due"}),
        ("DROP INDEX timer_due_checks", {"lock_due_checks"}),
        ("DROP INDEX parked_key_key", {"lock_due_checks", "claim_timers"}),
        ("DROP INDEX parked_key_due", {"due_parked_keys"}),
        ("DROP INDEX dead_letter_record_key", {"lock_dead_letters_of"}),
        ("DROP INDEX seen_event_age", {"prune_seen_events"}),
        ("DROP INDEX expectation_age", {"list_unanswered"}),
        ("DROP INDEX flood_paused", {"paused_partitions", "resume_partitions"}),
        ("DROP INDEX parked_event_key", {"lock_parked_of"}),
        ("DROP INDEX topic_width_revision", {"changed_widths", "hold_topic", "release_topic", "widen_topic"}),
        ("DROP INDEX dead_letter_resolved", {"date_resolved_letters", "prune_dead_letters"}),
    ],
)
async def test_without_an_index_it_is_seen(tables: Tables, without: str, reads_more: set[str]) -> None:
    calls = [call for call in CALLS if call.name in reads_more]
    connection = tables.of(calls[0])
    undo = connection.transaction()
    await undo.start()
    try:
        await connection.execute(without)
        found = {call.name for call in calls if await excess(tables, call, generic=True)}
    finally:
        await undo.rollback()
    assert found == reads_more
