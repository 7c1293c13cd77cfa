"""A topic gets more partitions while events flow: every key keeps its order, whatever is killed."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from deploy.local.pair import Pair
from shared.inbox.consumer import Consumer
from shared.inbox.cursors import read_cursors
from shared.kafka.admin import KafkaAdmin
from shared.kafka.client import Producer
from shared.kafka.topic_changes import KeptWidth
from shared.metrics import EVENTS
from shared.outbox.growth import Growth, GrowthRefused, NothingToGrow, ReadOffsets
from shared.outbox.relay import QUERIES, SHARDS, Relay
from shared.outbox.widths import lock_class, read_widths
from shared.unit_of_work.database import Database
from tests.integration.shared.outbox.traffic import KEYS, applied, counting, emit, ends, send_all, stop
from tests.waiting import running, until

STEPS = 6
"""Writes to the tables of two services, in a growth: hold, mark, widen, each in both."""


class Killed(BaseException):
    """The process ends here: nothing that it would still do is done."""


class Mortal(Growth):
    """Cleans nothing up, as a killed process does."""

    async def _give_up(self, width: int) -> None:  # noqa: ARG002
        return


class MortalPool:
    """A pool whose process is killed before the write with the number `fatal`, counted over all pools."""

    def __init__(self, pool: Any, count: list[int], fatal: int) -> None:
        self._pool, self._count, self._fatal = pool, count, fatal

    async def fetch(self, *args: Any) -> Any:
        return await self._pool.fetch(*args)

    async def execute(self, *args: Any) -> Any:
        self._count[0] += 1
        if self._count[0] == self._fatal:
            raise Killed
        return await self._pool.execute(*args)


class MortalDatabase:
    def __init__(self, database: Database, count: list[int], fatal: int) -> None:
        self.pool = MortalPool(database.pool, count, fatal)
        self.connect = database.connect


@asynccontextmanager
async def growing(
    databases: Mapping[str, Any],
    pair: Pair,
    topic: str,
    readers: Mapping[str, ReadOffsets] | None = None,
    *,
    seconds: float = 30,
    kind: type[Growth] = Growth,
) -> AsyncIterator[tuple[Growth, list[str]]]:
    """A growth, and what it reports."""
    reported: list[str] = []
    async with KafkaAdmin(pair.access) as admin:
        yield (
            kind(
                databases,
                admin,
                pair.access,
                topic,
                readers or {},
                seconds=seconds,
                report=reported.append,
            ),
            reported,
        )


def both(writer: Database, reader: Database) -> dict[str, Database]:
    return {"routing": writer, "inquiry": reader}


async def kept(writer: Database, reader: Database, topic: str) -> list[KeptWidth]:
    return [(await read_widths(one, [topic]))[topic] for one in (writer, reader)]


def duplicates(consumer: str) -> float:
    return EVENTS.labels(consumer, "duplicate")._value.get()


@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_topic_grows_under_load_and_every_key_keeps_its_order(
    writer: Database, reader: Database, topic: str, pair: Pair, by_hand: bool
) -> None:
    """With two relays and two readers; in one case the partitions have been added by hand before."""
    name = f"grown-{by_hand}"
    relays = [Relay(writer, Producer(pair.access, "test")) for _ in range(2)]
    consumers = [Consumer(reader, counting(), name=name, topics=[topic]) for _ in range(2)]
    readers = {"toy": lambda: read_cursors(reader, name)}
    if by_hand:
        await emit(writer, 1)
        await send_all(writer, relays[0])
        await relays[0]._release()
        async with KafkaAdmin(pair.access) as admin:
            await admin.widen(topic, 9)
    rounds = 0
    over = asyncio.Event()

    async def load() -> None:
        nonlocal rounds
        while not over.is_set():
            await emit(writer, 1)
            rounds += 1
            await asyncio.sleep(0.005)

    loops = [relay.run for relay in relays] + [consumer.run for consumer in consumers]
    async with running(*loops):
        loading = asyncio.create_task(load())
        await until(lambda: rounds > 50)
        held = asyncio.create_task(_seen_held(relays, topic))
        async with growing(both(writer, reader), pair, topic, readers) as (growth, reported):
            assert await growth.grow(9) == 4
        at_growth = rounds
        await until(lambda: rounds > at_growth + 100)
        over.set()
        await loading
        events = len(KEYS) * (rounds + by_hand)

        async def all_applied() -> bool:
            return bool(await reader.pool.fetchval("SELECT count(*) FROM applied") >= events)

        await until(all_applied)
        await held
    assert await applied(reader) == {key: list(range(1, rounds + by_hand + 1)) for key in KEYS}
    assert duplicates(name) == 0
    assert await kept(writer, reader, topic) == [KeptWidth(9)] * 2
    assert sum(await ends(pair.access, topic)) == events
    assert any((await ends(pair.access, topic))[4:])
    assert await reader.pool.fetchval("SELECT count(*) FROM topic_loss") == 0
    assert "is held" in reported[0]
    assert reported[-1] == f"{topic} goes on with 9 partitions"
    assert [relay.held_topics for relay in relays] == [{}, {}]
    for relay in relays:
        await stop(relay)


async def _seen_held(relays: list[Relay], topic: str) -> None:
    """`/readyz` shows it meanwhile."""
    await until(lambda: all("widening it to 9" in relay.held_topics.get(topic, "") for relay in relays))


@pytest.mark.parametrize(
    "killed", [(step, then) for step in range(1, STEPS + 1) for then in ("again", "abort")]
)
async def test_a_growth_killed_at_any_step_is_finished_or_taken_back_and_never_mixed(
    writer: Database, reader: Database, topic: str, pair: Pair, killed: tuple[int, str]
) -> None:
    fatal, then = killed
    relay = Relay(writer, Producer(pair.access, "test"))
    await emit(writer, 1)
    await send_all(writer, relay)
    await relay._release()
    count = [0]
    services = {"inquiry": reader, "routing": writer}
    mortal = {name: MortalDatabase(one, count, fatal) for name, one in services.items()}
    async with growing(mortal, pair, topic, kind=Mortal) as (growth, _):
        with pytest.raises(Killed):
            await growth.grow(6)
    left = [found.get(topic) for found in [await read_widths(one, [topic]) for one in (writer, reader)]]
    # One that goes on goes on with the old width while no other has the new one, or the other way round.
    free = {one.partitions for one in left if one is not None and one.grows_to is None}
    assert len(free) <= 1
    if fatal < STEPS:
        # Inquiry comes first: routing, which sends, is held from its own first step to its last.
        assert (left[0].grows_to is not None) == (fatal > 2)
    async with growing(both(writer, reader), pair, topic) as (growth, _):
        if then == "again":
            assert await growth.grow(6) == 4
            expected = 6
        else:
            said = await growth.abort()
            expected = 6 if fatal > 3 else 4
            assert ("too far to go back" in said) == (expected == 6), said
    widths = [found for one in (writer, reader) for found in (await read_widths(one, [topic])).values()]
    assert set(widths) == {KeptWidth(expected)}
    await emit(writer, 1)
    await send_all(writer, relay)
    used = {n for n, end in enumerate(await ends(pair.access, topic)) if end}
    assert bool(used & {4, 5}) == (expected == 6)
    await stop(relay)


async def test_while_a_killed_growth_holds_the_topic_events_wait_and_abort_releases_them(
    writer: Database, reader: Database, topic: str, pair: Pair
) -> None:
    relay = Relay(writer, Producer(pair.access, "test"))
    await emit(writer, 1)
    await send_all(writer, relay)
    async with running(relay.run):
        await writer.pool.execute(QUERIES["hold_topic"], topic, 4, 8)
        await until(lambda: relay.held_topics)
        await emit(writer, 3)
        await until(lambda: relay.paused_topics)
        assert sum(await ends(pair.access, topic)) == len(KEYS)
        async with growing(both(writer, reader), pair, topic) as (growth, _):
            with pytest.raises(GrowthRefused, match="growing to 8 partitions already"):
                await growth.grow(9)
            assert await growth.abort() == f"{topic} is released, with 4 partitions as before"
            assert await growth.abort() == f"{topic} is not held"

        async def sent() -> bool:
            return sum(await ends(pair.access, topic)) == 4 * len(KEYS)

        await until(sent)
    await stop(relay)


async def test_a_reader_that_does_not_come_to_the_end_leaves_everything_as_it_was(
    writer: Database, reader: Database, topic: str, pair: Pair
) -> None:
    relay = Relay(writer, Producer(pair.access, "test"))
    await emit(writer, 1)
    await send_all(writer, relay)
    await relay._release()
    readers = {"toy": lambda: read_cursors(reader, "absent")}
    async with growing(both(writer, reader), pair, topic, readers, seconds=1) as (growth, reported):
        with pytest.raises(GrowthRefused, match=rf"toy \({len(KEYS)} records\)"):
            await growth.grow(8)
    assert reported[-1] == f"{topic} is released, with 4 partitions as before"
    assert await kept(writer, reader, topic) == [KeptWidth(4)] * 2
    assert len(await ends(pair.access, topic)) == 4
    await stop(relay)


async def test_a_growth_that_has_lost_its_lock_stops_and_releases_the_topic(
    writer: Database, reader: Database, topic: str, pair: Pair
) -> None:
    """Another one could have begun meanwhile."""
    relay = Relay(writer, Producer(pair.access, "test"))
    await emit(writer, 1)
    await send_all(writer, relay)
    await stop(relay)
    readers = {"toy": lambda: read_cursors(reader, "absent")}
    async with growing(both(writer, reader), pair, topic, readers) as (growth, reported):
        work = asyncio.create_task(growth.grow(8))
        await until(lambda: len(reported) > 1)
        growth._session.terminate()
        with pytest.raises(asyncpg.InterfaceError):
            await work
    assert reported[-1] == f"{topic} is released, with 4 partitions as before"
    assert await kept(writer, reader, topic) == [KeptWidth(4)] * 2


async def test_a_relay_that_has_not_read_that_the_topic_is_held_is_waited_for(
    writer: Database, reader: Database, topic: str, pair: Pair
) -> None:
    """It hangs, or it is of an older release: it would send by the old width beside the new one."""
    session = await writer.connect()
    await session.execute(QUERIES["announce_relay"], lock_class("relay", "routing"), SHARDS)
    async with growing(both(writer, reader), pair, topic, seconds=1) as (growth, _):
        with pytest.raises(GrowthRefused, match="a relay of routing"):
            await growth.grow(8)
    assert await kept(writer, reader, topic) == [KeptWidth(4)] * 2
    session.terminate()
    async with growing(both(writer, reader), pair, topic) as (growth, _):
        assert await growth.grow(8) == 4


async def test_what_cannot_be_grown_is_refused(
    writer: Database, reader: Database, topic: str, pair: Pair
) -> None:
    async with growing(both(writer, reader), pair, topic) as (growth, _):
        with pytest.raises(NothingToGrow, match="has 4 partitions"):
            await growth.grow(3)
        assert await growth.grow(4) == 4
        assert await growth.grow(5) == 4
        assert await growth.grow(5) == 5
        async with growing(both(writer, reader), pair, topic) as (second, _), second._alone():
            with pytest.raises(GrowthRefused, match="another"):
                await growth.grow(7)
    async with growing(both(writer, reader), pair, f"{topic}x") as (growth, _):
        with pytest.raises(GrowthRefused, match="topics apply"):
            await growth.grow(4)
