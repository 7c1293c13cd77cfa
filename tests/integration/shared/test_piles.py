"""No statement reads much more than it answers, however much waits in the tables.

Looking for sequential scans sees nothing: the relay switches them off, and then an index is read whole.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from harness.piles import (
    Call,
    Caller,
    core_calls,
    fill,
    fill_routing,
    routing_calls,
    rows_answered,
    rows_read,
)
from harness.schema import open_service_database
from shared import sql
from tests.paths import REPO

ROWS = 50_000
_MOST_PER_ANSWER = 10
_CONSTANT = 200
"""For look-ups that find nothing, of up to a hundred keys."""

# Statements that read more, each with the reason.
READS_MORE = {
    "count_outbox": "counts for an operator's command",
    "count_paused_rows": "counts once whenever shards change hands",
    "count_parked": "counts, up to a bound",
    "count_triage": "counts what waits for a dispatcher",
    "list_dead_letters": "an operator's list, which is planned with its arguments when it is read once",
    "first_parked_offset": "once whenever a topic was truncated",
}


@pytest.fixture(scope="module")
async def tables(database: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await open_service_database(database, "routing")
    async with opened.pool.acquire() as connection:
        await fill(connection, ROWS)  # type: ignore[arg-type]
        await fill_routing(connection, ROWS)  # type: ignore[arg-type]
        yield connection  # type: ignore[misc]
    await opened.close()


CALLS = [*core_calls(ROWS), *routing_calls()]


def named() -> set[tuple[str, str]]:
    """Every named statement of the core and of routing."""
    folders = [REPO / "shared", REPO / "services" / "routing"]
    files = [path for folder in folders for path in folder.rglob("*.sql") if path.parent.name != "migrations"]
    assert len(files) >= 5
    found = set()
    for path in files:
        package = ".".join(path.parent.relative_to(REPO).parts)
        found |= {(package, name) for name in sql.load(package, path.name)}
    return found


def test_every_statement_is_called() -> None:
    assert {(call.package, call.name) for call in CALLS} == named()


async def test_an_exception_is_one(tables: asyncpg.Connection) -> None:
    more = [call for call in CALLS if call.name in READS_MORE]
    found = {call.name for call in more if await excess(tables, call, generic=True)}
    assert found == READS_MORE.keys()


async def excess(connection: asyncpg.Connection, call: Call, *, generic: bool) -> str | None:
    """What a call has read, if that is too much."""
    plan = await Caller(connection, generic=generic).explain(call)
    read, answered = rows_read(plan), rows_answered(plan)
    if read <= _MOST_PER_ANSWER * answered + _CONSTANT:
        return None
    return f"{call.name} reads {read} rows to answer {answered}"


@pytest.mark.parametrize("generic", [False, True], ids=["planned-with-arguments", "planned-once"])
async def test_no_statement_reads_ten_times_what_it_answers(
    tables: asyncpg.Connection, generic: bool
) -> None:
    found = [await excess(tables, call, generic=generic) for call in CALLS if call.name not in READS_MORE]
    assert [one for one in found if one] == []


@pytest.mark.parametrize(
    ("without", "reads_more"),
    [
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
    ],
)
async def test_without_an_index_it_is_seen(
    tables: asyncpg.Connection, without: str, reads_more: set[str]
) -> None:
    undo = tables.transaction()
    await undo.start()
    try:
        await tables.execute(without)
        calls = [call for call in CALLS if call.name in reads_more]
        found = {call.name for call in calls if await excess(tables, call, generic=True)}
    finally:
        await undo.rollback()
    assert found == reads_more
