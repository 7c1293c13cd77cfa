"""A topic that was created again, or whose records were deleted: nothing is skipped in silence."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.pair import Pair
from harness.schema import open_service_database
from shared.inbox.topic_losses import NoSuchLoss, TopicLosses
from shared.unit_of_work.database import Database
from tests.integration.shared.inbox.actions import Actions, actions
from tests.waiting import running, until


@pytest.fixture
async def reader(database: str, namespace: str, pair: Pair) -> AsyncIterator[Database]:
    opened = await open_service_database(database, "routing", namespace=namespace, access=pair.access)
    yield opened
    await opened.close()


@pytest.fixture
async def unit(reader: Database, pair: Pair) -> AsyncIterator[Actions]:
    async with actions(reader, pair.access) as made:
        yield made


OLD = tuple(f"old-{n}" for n in range(5))


def new(count: int) -> list[str]:
    return [f"new-{n}" for n in range(count)]


async def read_old(unit: Actions) -> None:
    await unit.send(OLD)
    async with unit.reading(*OLD):
        pass
    assert (await unit.cursor())["next_offset"] == len(OLD)


@pytest.mark.parametrize("length", [9, 5, 2])
async def test_a_topic_created_again_while_its_reader_is_away_is_read_from_its_beginning(
    unit: Actions, length: int
) -> None:
    """Longer than the cursor, exactly as long, and shorter with nothing more to come."""
    await read_old(unit)
    await unit.recreate()
    await unit.send(new(length))
    async with unit.reading(*new(length)):
        pass
    assert unit.applied == [*OLD, *new(length)]
    assert await unit.losses() == [("replaced", 5, length)]


async def test_a_topic_created_again_under_a_running_reader_is_read_from_its_beginning(unit: Actions) -> None:
    await unit.send(OLD)
    async with unit.reading(*OLD):
        await unit.recreate()
        await unit.send(new(9))
        await until(lambda: len(unit.applied) >= 14, "all nine applied")
    assert unit.applied == [*OLD, *new(9)]
    # Its end depends on the moment: the topic may have been empty, or noticed twice.
    assert {loss[:2] for loss in await unit.losses()} == {("replaced", 5)}


async def test_an_empty_new_log_is_noticed_without_a_record(unit: Actions) -> None:
    await read_old(unit)
    await unit.recreate()
    consumer = unit.consumer()
    async with running(consumer.run):
        await until(unit.losses)
    assert await unit.losses() == [("replaced", 5, 0)]
    assert (await unit.cursor())["next_offset"] == 0


async def test_records_that_are_known_are_not_applied_again(unit: Actions) -> None:
    await read_old(unit)
    await unit.recreate()
    await unit.send([*OLD[2:], "new"])
    async with unit.reading("new"):
        pass
    assert unit.applied == [*OLD, "new"]


async def test_a_loss_is_shown_until_somebody_has_looked(unit: Actions) -> None:
    await read_old(unit)
    await unit.recreate()
    async with running(unit.consumer().run):
        await until(unit.losses)
    losses = TopicLosses(unit.reader)
    assert any(unit.topic in line for line in await losses.measure())
    assert await losses.see(unit.topic, "me") == 1
    assert not any(unit.topic in line for line in await TopicLosses(unit.reader).measure())
    (seen,) = [one for one in await losses.read(seen=True) if one.topic == unit.topic]
    assert (seen.kind, seen.seen_by, seen.times) == ("replaced", "me", 1)
    with pytest.raises(NoSuchLoss):
        await losses.see(unit.topic, "me")


async def test_the_same_log_after_a_restart_is_no_loss(unit: Actions) -> None:
    await read_old(unit)
    await unit.send(new(2))
    async with unit.reading(*new(2)):
        pass
    assert unit.applied == [*OLD, *new(2)]
    assert await unit.losses() == []


async def test_a_cursor_of_an_older_release_gets_its_fingerprint_with_the_next_batch(unit: Actions) -> None:
    await read_old(unit)
    await unit.reader.pool.execute(
        "UPDATE cursor SET last_offset = NULL, last_appended_ms = NULL, last_digest = NULL WHERE topic = $1",
        unit.topic,
    )
    await unit.send(new(1))
    async with unit.reading(*new(1)):
        pass
    assert unit.applied == [*OLD, *new(1)]
    cursor = await unit.cursor()
    assert (cursor["last_offset"], len(cursor["last_digest"])) == (5, 32)
    assert await unit.losses() == []


async def test_retention_that_took_only_what_was_read_is_no_loss(unit: Actions) -> None:
    await read_old(unit)
    await unit.send(new(2))
    await unit.delete_before(5)
    async with unit.reading(*new(2)):
        pass
    assert await unit.losses() == []


@pytest.mark.parametrize("before", [7, 9])
async def test_records_deleted_before_they_were_read_are_counted(unit: Actions, before: int) -> None:
    """Some of the unread ones, and all of them."""
    await read_old(unit)
    await unit.send(new(4))
    await unit.delete_before(before)
    async with unit.reading(*new(4)[before - 5 :]):
        assert await unit.losses() == [("expired", 5, before)]
    assert unit.applied == [*OLD, *new(4)[before - 5 :]]


async def test_a_topic_that_begins_later_is_no_loss_to_a_new_consumer(unit: Actions) -> None:
    await unit.send(OLD)
    await unit.delete_before(3)
    async with unit.reading(*OLD[3:]):
        pass
    assert unit.applied == [*OLD[3:]]
    assert await unit.losses() == []


async def test_a_topic_that_begins_later_is_a_loss_to_a_consumer_that_has_read_nothing_yet(
    unit: Actions,
) -> None:
    async with unit.reading():
        pass
    assert (await unit.cursor())["next_offset"] == 0
    await unit.send(OLD)
    await unit.delete_before(3)
    async with unit.reading(*OLD[3:]):
        pass
    assert await unit.losses() == [("expired", 0, 3)]


async def test_a_partition_that_was_added_and_emptied_is_a_loss_to_a_consumer_that_existed(
    unit: Actions, pair: Pair
) -> None:
    await read_old(unit)
    await unit.reader.pool.execute("UPDATE cursor SET partition = 7 WHERE topic = $1", unit.topic)
    await unit.delete_before(3)
    async with unit.reading(*OLD[3:]):
        pass
    assert await unit.losses() == [("expired", 0, 3)]
