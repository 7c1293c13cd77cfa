"""A restored service continues above what it had said; what was never sent gets no taken place."""

import asyncio

import orjson
import pytest

from shared.infrastructure import DatabaseBehind
from shared.restore.reopening import StillAtWork, close, continue_sequences, known_sequences, reopen
from shared.restore.said import read_said
from shared.unit_of_work.database import Database
from tests.integration.shared.outbox.test_fence import (
    forget,
    forks,
    own_topic,
    records_of,
    relay_of,
    routing,  # noqa: F401  (a fixture)
    say,
    send_all,
    write,
)


async def restored(database: Database, epoch: int = 2) -> int:
    """What `civicloom restore` does for a service that reads nothing; how many events got new places."""
    session = await close(database)
    said = await read_said(database)
    async with database.transaction(said.highest) as tx:
        moved = await continue_sequences(tx, said, epoch)
    await reopen(database, session)
    return moved


async def test_sequences_continue_above_the_topic_in_a_new_epoch(routing: Database) -> None:  # noqa: F811
    await forget(routing)
    assert await restored(routing) == 0
    routing.epoch = 2
    await say(routing, "case", "new")
    records = await records_of(routing)
    assert forks(records) == []
    last = [orjson.loads(one.value or b"") for one in records if one.key == b"case"][-1]
    assert (last["epoch"], last["sequence"]) == (2, "0000000003")


async def test_an_event_that_waits_under_a_taken_place_gets_another(routing: Database) -> None:  # noqa: F811
    """It was written before the first contact with the broker showed that the database is old."""
    await forget(routing)
    await write(routing, "case", "case", "new")
    async with relay_of(routing) as relay:
        with pytest.raises(DatabaseBehind):
            await relay.once()
    routing.refusal = None
    assert await restored(routing) == 2
    async with relay_of(routing) as relay:
        await send_all(routing, relay)
    records = await records_of(routing)
    assert forks(records) == []
    events = [orjson.loads(one.value or b"") for one in records if one.key == b"case"]
    places = [(event["epoch"], int(event["sequence"])) for event in events]
    assert places == [(1, 1), (1, 2), (2, 3), (2, 4)]


async def test_what_was_said_is_found_from_the_marks_on(routing: Database) -> None:  # noqa: F811
    await forget(routing)
    said = await read_said(routing)
    (fact,) = said.above(await known_sequences(routing, said))
    assert (fact.event.subject, fact.ordinal, fact.record.topic) == ("case", 10**10 + 2, own_topic(routing))


async def test_a_service_at_work_is_waited_for(
    routing: Database,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await say(routing, "case")
    monkeypatch.setattr("shared.restore.reopening._WAIT_SECONDS", 1.0)
    async with relay_of(routing, fenced=False) as relay:
        await relay.once()
        with pytest.raises(StillAtWork, match="stop all its processes"):
            await close(routing)
    async with asyncio.timeout(10):
        session = await close(routing)
    await reopen(routing, session)
