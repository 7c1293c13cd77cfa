"""The age of the oldest event that waits for Kafka, whether a relay holds its shard or not."""

import datetime as dt

import pytest

from shared.clock import machine_now
from shared.contracts.routing import CaseTriaged
from shared.metrics import OUTBOX_AGE
from shared.outbox.age import OutboxAge
from shared.outbox.relay import SHARDS
from shared.unit_of_work.database import Database


async def write(database: Database, *subjects: str) -> None:
    async with database.transaction(subjects) as tx:
        for subject in subjects:
            tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=subject)


async def test_the_age_is_that_of_the_oldest_event_of_any_shard(routing: Database) -> None:
    age = OutboxAge(routing)
    await age.look()
    assert age.seconds() == 0
    subjects = [f"case-{number}" for number in range(200)]
    await write(routing, *subjects)
    await age.look()
    assert 0 <= age.seconds() < 30
    assert await routing.pool.fetchval("SELECT count(DISTINCT shard) FROM outbox") == SHARDS
    for shard in range(SHARDS):
        written = machine_now() - dt.timedelta(seconds=100 * (shard + 1))
        await routing.pool.execute("UPDATE outbox SET written_at = $2 WHERE shard = $1", shard, written)
        await age.look()
        assert age.seconds() == pytest.approx(100 * (shard + 1), abs=20)
    await routing.pool.execute("DELETE FROM outbox")
    await age.look()
    assert age.seconds() == 0


async def test_rows_of_paused_topics_count_and_those_of_an_older_release_do_not_hide_others(
    routing: Database,
) -> None:
    age = OutboxAge(routing)
    await write(routing, "case", "case")
    moved = "WITH m AS (DELETE FROM outbox RETURNING *) INSERT INTO outbox_aside SELECT * FROM m"
    await routing.pool.execute(moved)
    await routing.pool.execute(
        "UPDATE outbox_aside SET written_at = $1", machine_now() - dt.timedelta(minutes=5)
    )
    await write(routing, "young")
    await age.look()
    assert age.seconds() == pytest.approx(300, abs=20)
    await routing.pool.execute(
        "UPDATE outbox_aside SET written_at = NULL WHERE id = (SELECT min(id) FROM outbox_aside)"
    )
    await age.look()
    assert age.seconds() == pytest.approx(300, abs=20)


async def test_the_age_grows_on_while_the_database_does_not_answer(
    routing: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    age = OutboxAge(routing)
    await write(routing, "case")
    await age.look()
    later = machine_now() + dt.timedelta(hours=2)
    monkeypatch.setattr("shared.outbox.age.machine_now", lambda: later)
    (sample,) = OUTBOX_AGE.collect()[0].samples
    assert sample.value == pytest.approx(7200, abs=20)
