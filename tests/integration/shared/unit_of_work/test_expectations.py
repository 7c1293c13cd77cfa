"""What is fulfilled is found by its subject, however much waits and whatever the planner knows."""

import json

import pytest

from harness.piles import rows_read
from harness.schema import open_service_database
from shared.clock import machine_now
from shared.outbox.relay import PLAN_SETTINGS
from shared.unit_of_work.transaction import QUERIES

WAITING, FULFILLED = 1000, 100


@pytest.mark.parametrize("settings", ["", PLAN_SETTINGS])
async def test_a_young_table_is_not_read_for_each_fulfilled_expectation(database: str, settings: str) -> None:
    """Statistics come late, and the relay switches off what would read the table once."""
    opened = await open_service_database(database, "routing")
    session = await opened.connect(may_be_silent=True)
    try:
        if settings:
            await session.execute(settings)
        subjects = [f"case-{number:05}" for number in range(WAITING)]
        columns = subjects, ["delivery"] * WAITING, ["water"] * WAITING
        await session.execute("TRUNCATE expectation")
        await session.execute(QUERIES["insert_expectations"], *columns, machine_now())
        found = await session.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {QUERIES['delete_expectations']}",
            *(column[:FULFILLED] for column in columns),
        )
        (explained,) = json.loads(found)
        assert rows_read(explained["Plan"]) <= 2 * FULFILLED + WAITING, explained
        left = await session.fetchval("SELECT count(*) FROM expectation")
        assert left == WAITING - FULFILLED
    finally:
        await session.close()
        await opened.close()
