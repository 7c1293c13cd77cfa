"""The consumer without a broker: where it seeks, what it discards, and what it reports."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError, UnknownTopicOrPartitionError

from shared.errors import Stale
from shared.inbox.consumer import Consumer
from shared.inbox.handlers import Handlers
from shared.inbox.offsets import bounds, end_offsets, lag_of, subscribed_topics
from shared.inbox.partition_batch import AlreadyConsumed, OffsetGap
from shared.kafka.records import RawRecord
from tests.unit.shared.made import raw

PARTITION = TopicPartition("civic.inquiry.v1", 0)


class FakeClient:
    """A client with one assigned partition."""

    def __init__(self) -> None:
        self.sought: list[tuple[TopicPartition, Any]] = []
        self.assigned = {PARTITION}
        self.begin, self.end = 0, 10
        self.position: int | None = 4
        self.topics_of_broker = {PARTITION.topic: {0}}
        self.subscribed: frozenset[str] = frozenset(self.topics_of_broker)
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=self))

    def state_value(self, partition: TopicPartition) -> Any:
        if partition not in self.assigned:
            return None
        return SimpleNamespace(has_valid_position=self.position is not None, position=self.position)

    def assignment(self) -> set[TopicPartition]:
        return self.assigned

    def subscription(self) -> frozenset[str]:
        return self.subscribed

    async def topics(self) -> set[str]:
        return set(self.topics_of_broker)

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return self.topics_of_broker.get(topic)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought.append((partition, offset))

    async def seek_to_beginning(self, partition: TopicPartition) -> None:
        self.sought.append((partition, "beginning"))

    def highwater(self, _: TopicPartition) -> int | None:
        return self.end

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.end)

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.begin)


class FakeBatches:
    """Raises or returns what it is given, call by call."""

    def __init__(self, *results: Any) -> None:
        self.results = list(results)
        self.calls: list[dict[str, bool]] = []
        self.reset: list[tuple[str, int, int, int]] = []

    async def process(self, _: list[RawRecord], **options: bool) -> int:
        self.calls.append(options)
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return int(result)

    async def reset_cursor(self, topic: str, partition: int, *, cursor: int, begin: int) -> None:
        self.reset.append((topic, partition, cursor, begin))


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def consumer(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> Consumer:
    pool = SimpleNamespace(fetch=None)
    database: Any = SimpleNamespace(pool=pool, settings=SimpleNamespace())
    made = Consumer(database, Handlers(), name="c", topics=[PARTITION.topic])
    made._subscription = SimpleNamespace(client=client)  # type: ignore[assignment]

    async def at_once(_: float) -> None:
        return

    monkeypatch.setattr(asyncio, "sleep", at_once)
    return made


def with_batches(consumer: Consumer, *results: Any) -> FakeBatches:
    batches: Any = FakeBatches(*results)
    consumer._batches = batches
    return batches  # type: ignore[no-any-return]


def records(offset: int = 7) -> list[RawRecord]:
    made = raw(b"{}")
    made.offset = offset
    return [made]


async def test_a_batch_behind_a_gap_is_dropped_and_the_cursor_is_sought(
    consumer: Consumer, client: FakeClient
) -> None:
    batches = with_batches(consumer, OffsetGap(3))
    await consumer._process(0, PARTITION, records())
    assert client.sought == [(PARTITION, 3)]
    assert len(batches.calls) == 1


async def test_a_gap_that_is_still_there_after_seeking_is_accepted(
    consumer: Consumer, client: FakeClient
) -> None:
    batches = with_batches(consumer, OffsetGap(3), OffsetGap(3), 8)
    await consumer._process(0, PARTITION, records())
    await consumer._process(0, PARTITION, records())
    assert [call["accept_gap"] for call in batches.calls] == [False, False, True]
    assert consumer._applied == {PARTITION: 8}
    assert consumer._sought == {}
    assert client.sought == [(PARTITION, 3)]


async def test_a_batch_of_an_older_generation_is_discarded(consumer: Consumer) -> None:
    batches = with_batches(consumer, 8)
    consumer._barrier.generation = 1
    await consumer._process(0, PARTITION, records())
    assert batches.calls == []


async def test_a_batch_that_waits_for_the_database_gives_up_when_it_is_revoked(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = with_batches(consumer, OSError("away"), OSError("away"), 8)
    calls = iter(range(5))

    async def revoked(_: float) -> None:
        if next(calls) == 1:
            consumer._barrier.generation += 1

    monkeypatch.setattr(asyncio, "sleep", revoked)
    await consumer._process(0, PARTITION, records())
    assert len(batches.calls) == 2
    assert consumer._applied == {}


@pytest.mark.parametrize("error", [OSError("away"), KafkaConnectionError(), ValueError("ours")])
async def test_every_fault_is_waited_out(consumer: Consumer, error: Exception) -> None:
    batches = with_batches(consumer, error, error, 8)
    await consumer._process(0, PARTITION, records())
    assert len(batches.calls) == 3
    assert consumer._applied == {PARTITION: 8}


async def test_a_batch_whose_authority_is_lost_is_dropped(consumer: Consumer, client: FakeClient) -> None:
    with_batches(consumer, Stale("another replica"))
    await consumer._process(0, PARTITION, records())
    assert (client.sought, consumer._applied) == ([], {})


async def test_a_log_that_ends_before_the_cursor_is_read_again_from_its_beginning(
    consumer: Consumer, client: FakeClient
) -> None:
    batches = with_batches(consumer, AlreadyConsumed(1000))
    client.begin = 2
    await consumer._process(0, PARTITION, records())
    assert batches.reset == [(PARTITION.topic, 0, 1000, 2)]
    assert client.sought == [(PARTITION, 2)]
    assert consumer.truncated_topics == {PARTITION.topic}


async def test_records_that_were_only_read_twice_are_dropped_by_the_cursor(
    consumer: Consumer, client: FakeClient
) -> None:
    batches = with_batches(consumer, AlreadyConsumed(9), 9)
    await consumer._process(0, PARTITION, records())
    assert batches.reset == client.sought == []
    assert consumer._applied == {PARTITION: 9}


async def test_a_new_assignment_starts_at_the_cursors(consumer: Consumer, client: FakeClient) -> None:
    other = TopicPartition(PARTITION.topic, 1)

    async def fetch(*_: object) -> list[dict[str, Any]]:
        return [{"topic": PARTITION.topic, "partition": 0, "next_offset": 5}]

    consumer._database.pool.fetch = fetch  # type: ignore[method-assign]
    assert consumer.lag() is None
    await consumer.seek_to_cursors([PARTITION, other])
    assert client.sought == [(PARTITION, 5), (other, "beginning")]
    assert consumer.lag() == 6


async def test_the_end_offsets_are_unknown_before_the_start(consumer: Consumer) -> None:
    consumer._subscription = None
    with pytest.raises(NodeNotReadyError):
        await consumer.ends()


async def test_a_replica_without_topics_has_no_lag(consumer: Consumer, client: FakeClient) -> None:
    assert consumer.lag() is None
    client.subscribed = frozenset()
    assert await consumer.ends() == {}
    assert consumer.lag() == 0


async def test_the_lag_is_unknown_while_a_position_is(consumer: Consumer, client: FakeClient) -> None:
    consumer._was_assigned = True
    client.position = None
    assert consumer.lag() is None
    client.position = 12
    assert lag_of(client, PARTITION) == 0


async def test_end_offsets_leave_out_partitions_without_records(client: FakeClient) -> None:
    assert await end_offsets(client, [PARTITION.topic]) == {PARTITION: 10}
    client.begin = 10
    assert await end_offsets(client, [PARTITION.topic]) == {}
    assert await bounds(client, PARTITION) == (10, 10)


async def test_end_offsets_are_unknown_while_a_topic_has_no_known_partitions(client: FakeClient) -> None:
    with pytest.raises(UnknownTopicOrPartitionError, match="no partitions are known of a, b"):
        await end_offsets(client, ["b", PARTITION.topic, "a"])


async def test_a_pattern_that_shows_no_topics_is_asked_of_the_broker(client: FakeClient) -> None:
    client.subscribed = frozenset()
    client.topics_of_broker = {"civic.department.water.actions.v1": {0}, "civic.inquiry.v1": {0}}
    assert await subscribed_topics(client, r"^civic\.department\.") == ["civic.department.water.actions.v1"]
    assert await subscribed_topics(client, None) == []
