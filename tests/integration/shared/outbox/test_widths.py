"""How wide a topic is, is kept: partitions added by hand change nothing, and a narrower topic is held."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from deploy.local.pair import Pair
from shared.contracts.addresses import topic_name
from shared.contracts.routing import CaseOffered
from shared.inbox.consumer import Consumer
from shared.kafka.client import Producer
from shared.kafka.topic_changes import KeptWidth, apply, diff
from shared.kafka.topics import load_topics
from shared.outbox.relay import Relay
from shared.outbox.widths import read_widths
from shared.unit_of_work.database import Database
from tests.integration.shared.outbox.traffic import (
    KEYS,
    ByLiveMetadata,
    counting,
    emit,
    ends,
    read_to_the_end,
    send_all,
    stop,
)
from tests.waiting import running, until

BEHIND, AFTER = 200, 3


async def send_beside_new_partitions(
    writer: Database, topic: str, producer: Producer, admin: AIOKafkaAdminClient
) -> None:
    """Many events by key, then partitions by hand, then a few more events by key."""
    relay = Relay(writer, producer)
    await emit(writer, BEHIND)
    await send_all(writer, relay)
    await admin.create_partitions({topic: NewPartitions(9)})
    await producer.renew()  # as after a restart: it knows of all nine
    await emit(writer, AFTER)
    await send_all(writer, relay)
    await stop(relay)


async def test_partitions_added_by_hand_while_a_reader_is_behind_stay_empty_and_nothing_is_lost(
    writer: Database, reader: Database, topic: str, pair: Pair, admin: AIOKafkaAdminClient
) -> None:
    await send_beside_new_partitions(writer, topic, Producer(pair.access, "test"), admin)
    assert (await ends(pair.access, topic))[4:] == [0] * 5
    consumer = Consumer(reader, counting(), name="behind", topics=[topic])
    found = await read_to_the_end(consumer, reader, len(KEYS) * (BEHIND + AFTER))
    assert found == {key: list(range(1, BEHIND + AFTER + 1)) for key in KEYS}


async def test_by_live_metadata_the_same_loses_events(
    writer: Database, reader: Database, topic: str, pair: Pair, admin: AIOKafkaAdminClient
) -> None:
    """The control."""
    await send_beside_new_partitions(writer, topic, ByLiveMetadata(pair.access, "test"), admin)
    consumer = Consumer(reader, counting(), name="behind", topics=[topic])
    found = await read_to_the_end(consumer, reader, len(KEYS))
    assert any(sequences[0] > BEHIND for sequences in found.values()), found


async def test_the_first_copy_that_sends_decides_for_all(
    writer: Database, topic: str, pair: Pair, admin: AIOKafkaAdminClient
) -> None:
    first, second = (Relay(writer, Producer(pair.access, "test")) for _ in range(2))
    await emit(writer, 1)
    await send_all(writer, first)
    await first._release()
    await admin.create_partitions({topic: NewPartitions(9)})
    await emit(writer, 1)
    await send_all(writer, second)
    assert await read_widths(writer, [topic]) == {topic: KeptWidth(4)}
    assert (await ends(pair.access, topic))[4:] == [0] * 5
    await stop(first)
    await stop(second)


@pytest.mark.parametrize("case", [("before", 9), ("after", 4)])
async def test_after_an_upgrade_the_width_is_the_one_that_the_older_release_sent_by(
    writer: Database, topic: str, pair: Pair, admin: AIOKafkaAdminClient, case: tuple[str, int]
) -> None:
    """It took the broker's number of the moment: that counts which it had when the last records were sent."""
    when, expected = case
    older = Relay(writer, ByLiveMetadata(pair.access, "test"))
    await emit(writer, 10)
    await send_all(writer, older)
    await admin.create_partitions({topic: NewPartitions(9)})
    if when == "before":
        await older._producer.renew()
        await asyncio.sleep(0.01)
        await emit(writer, 10)
        await send_all(writer, older)
    await stop(older)
    await writer.pool.execute("TRUNCATE topic_width")

    relay = Relay(writer, Producer(pair.access, "test"))
    await emit(writer, 1)
    await send_all(writer, relay)
    assert await read_widths(writer, [topic]) == {topic: KeptWidth(expected)}
    await stop(relay)


async def test_copies_that_send_for_the_first_time_at_once_agree(
    writer: Database, topic: str, pair: Pair, admin: AIOKafkaAdminClient
) -> None:
    relays = [Relay(writer, Producer(pair.access, "test")) for _ in range(3)]
    async with running(*(relay.run for relay in relays)):
        await emit(writer, 1)
        await admin.create_partitions({topic: NewPartitions(9)})
        await emit(writer, 20)

        async def sent() -> bool:
            return not await writer.pool.fetchval("SELECT count(*) FROM outbox")

        await until(sent)
    (kept,) = (await read_widths(writer, [topic])).values()
    assert {relay._widths.kept[topic] for relay in relays if topic in relay._widths.kept} == {kept.partitions}
    for relay in relays:
        await stop(relay)


async def test_a_units_topic_keeps_its_width_too(
    writer: Database, own_namespace: str, pair: Pair, admin: AIOKafkaAdminClient
) -> None:
    topic = topic_name(own_namespace, "department", "water")
    offer = CaseOffered(
        number="1", role="lead", lead="water", kind="help", service_code="x", visibility="public", attempt=1
    )
    producer = Producer(pair.access, "test")
    relay = Relay(writer, producer)
    for width in (3, 5):
        async with writer.transaction(KEYS) as tx:
            for key in KEYS:
                tx.emit(offer, subject=key, unit="water")
        await send_all(writer, relay)
        await admin.create_partitions({topic: NewPartitions(width)})
        await producer.renew()
    assert await ends(pair.access, topic) == [2 * len(KEYS), 0, 0, 0, 0]
    await stop(relay)


async def test_a_topic_made_again_with_fewer_partitions_is_held_and_shown_until_it_has_them_again(
    writer: Database,
    reader: Database,
    topic: str,
    pair: Pair,
    admin: AIOKafkaAdminClient,
) -> None:
    relay = Relay(writer, Producer(pair.access, "test"))
    await emit(writer, 1)
    await send_all(writer, relay)
    await admin.delete_topics([topic])
    await until(lambda: _is_gone(admin, topic))
    await admin.create_topics([NewTopic(topic, 2, 1)])
    await stop(relay)

    relay = Relay(writer, Producer(pair.access, "test"))
    await emit(writer, 2)
    await send_all(writer, relay)
    assert relay.paused_topics == [topic]
    assert "has 2 partitions, its events need 4" in relay.held_topics[topic]
    assert await ends(pair.access, topic) == [0, 0]
    kept = await read_widths(writer, [topic])
    wanted = load_topics().specs(writer.settings.topic_namespace, ["water"])
    widen = next(change for change in await diff(pair.access, wanted, kept) if change.action == "widen")
    assert (widen.topic, widen.details) == (topic, ("2 partitions -> 4, over which its events are spread",))
    await apply(pair.access, wanted, kept)
    async with asyncio.timeout(30):
        while relay.paused_topics:
            await relay.once()
            await asyncio.sleep(0.02)
    assert relay.held_topics == {}
    assert sum(await ends(pair.access, topic)) == 2 * len(KEYS)
    consumer = Consumer(reader, counting(), name="again", topics=[topic])
    assert await read_to_the_end(consumer, reader, 2 * len(KEYS)) == {key: [2, 3] for key in KEYS}
    await stop(relay)


async def _is_gone(admin: AIOKafkaAdminClient, topic: str) -> bool:
    return topic not in await admin.list_topics()


async def test_a_topic_that_loses_partitions_under_a_running_relay_is_held(
    writer: Database, topic: str, pair: Pair, admin: AIOKafkaAdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client still believes in all four: a batch for one that is gone is never acknowledged."""
    monkeypatch.setattr("shared.kafka.client._PUBLISH_SECONDS", 1)
    relay = Relay(writer, Producer(pair.access, "test"))
    await emit(writer, 1)
    await send_all(writer, relay)
    await admin.delete_topics([topic])
    await until(lambda: _is_gone(admin, topic))
    await admin.create_topics([NewTopic(topic, 2, 1)])
    await emit(writer, 1)
    async with asyncio.timeout(40):
        while not relay.held_topics:
            await relay.once()
    assert len(await ends(pair.access, topic)) == 2
    await stop(relay)
