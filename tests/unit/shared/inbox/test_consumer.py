"""The consumer without a broker: what it polls, which worker gets it, and what it reports."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)

from shared.inbox.consumer import _LONGEST_PAUSE_SECONDS, _NOTHING, Consumer
from shared.inbox.faststream_adapter import Subscription
from shared.inbox.handlers import Handlers
from shared.inbox.offsets import end_offsets, subscribed_topics
from shared.inbox.partition_worker import FetchedRun
from shared.kafka.records import Partition
from shared.kafka_access import KafkaAccess

PARTITION = TopicPartition("civic.inquiry.v1", 0)


class FakeClient:
    """A client with one assigned partition."""

    def __init__(self) -> None:
        self.sought: list[tuple[TopicPartition, Any]] = []
        self.polled: list[tuple[TopicPartition, ...]] = []
        self.answers: list[int | Exception] = []
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

    async def getmany(self, *partitions: TopicPartition, **_: Any) -> dict[TopicPartition, list[Any]]:
        self.polled.append(partitions)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        self.position = answer
        return {}

    def highwater(self, _: TopicPartition) -> int | None:
        return self.end

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.end)

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.begin)


class FakeWorker:
    """A worker that only notes what it is given."""

    def __init__(self) -> None:
        self.partition = PARTITION
        self.has_room = True
        self.next_offset: int | None = 4
        self.position = 4
        self.doubts = 0
        self.runs: list[FetchedRun] = []
        self.at_rest = asyncio.Event()
        self.at_rest.set()

    def fetched(self, records: list[Any], position: int) -> FetchedRun | None:
        return FetchedRun(PARTITION, 1, 4, position, records) if position > 4 else None

    def put(self, run: FetchedRun) -> None:
        self.runs.append(run)

    def doubt(self) -> None:
        self.doubts += 1

    async def close(self) -> None:
        self.has_room = False


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker()


@pytest.fixture
def consumer(client: FakeClient, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> Consumer:
    settings = SimpleNamespace(
        kafka=KafkaAccess("127.0.0.1:1"), service="c", consumer_group=None, topic_namespace="civic"
    )
    database: Any = SimpleNamespace(pool=SimpleNamespace(fetch=None), settings=settings)
    made = Consumer(database, Handlers(), name="c", topics=[PARTITION.topic])
    made._subscription = SimpleNamespace(client=client)  # type: ignore[assignment]
    made._client = client
    workers: Any = {PARTITION: worker}
    made._workers = workers
    made._was_assigned = True

    async def at_once(_: float) -> None:
        return

    monkeypatch.setattr(asyncio, "sleep", at_once)
    return made


async def test_what_a_poll_has_returned_goes_to_its_partitions_worker(
    consumer: Consumer, client: FakeClient, worker: FakeWorker
) -> None:
    client.answers = [7]
    runs = await consumer._poll(client)
    assert client.polled == [(PARTITION,)]
    await consumer._handle([*runs, FetchedRun(("gone", 0), 1, 0, 1)])
    assert [(run.start, run.next_offset) for run in worker.runs] == [(4, 7)]


async def test_the_consumer_rests_as_long_as_its_records_took(
    consumer: Consumer, client: FakeClient, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a bound on the wait a partition that is held up would hold up the others."""
    rests: list[float] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", rest)
    client.answers = [7, 9]
    await consumer._handle(await consumer._poll(client))
    worker.at_rest.clear()
    await consumer._handle(await consumer._poll(client))
    assert rests[0] < _LONGEST_PAUSE_SECONDS / 2
    assert rests[1] == _LONGEST_PAUSE_SECONDS
    consumer._patience = 0.5
    client.answers = [11]
    await consumer._handle(await consumer._poll(client))
    assert len(rests) == 2, "the broker has paced a patient consumer already"


async def test_a_partition_without_room_or_paused_is_not_polled(
    consumer: Consumer, client: FakeClient, worker: FakeWorker
) -> None:
    client.answers = [4, 4, 4]
    worker.has_room = False
    assert await consumer._poll(client) == []
    worker.has_room = True
    consumer.paused.hold(PARTITION)
    assert await consumer._poll(client) == []
    consumer.paused._paused.clear()
    await consumer._poll(client)
    assert client.polled == [(_NOTHING,), (_NOTHING,), (PARTITION,)]


async def test_what_was_polled_for_a_worker_that_is_gone_is_dropped(
    consumer: Consumer, client: FakeClient
) -> None:
    client.answers = [7]
    workers = consumer._workers
    consumer._workers = {}
    assert list(consumer._runs(client, {}, workers, [PARTITION])) == []


async def test_an_offset_out_of_range_is_a_doubt_and_no_failed_poll(
    consumer: Consumer, client: FakeClient, worker: FakeWorker
) -> None:
    client.answers = [OffsetOutOfRangeError({PARTITION: 4}), KafkaConnectionError()]
    assert await consumer._poll(client) == []
    assert worker.doubts == 1
    assert consumer._detector._failing_since is None
    with pytest.raises(KafkaConnectionError):
        await consumer._poll(client)
    assert consumer._detector._failing_since is not None


async def test_a_poll_that_fails_in_our_own_code_does_not_end_the_loop_that_polls(
    consumer: Consumer, client: FakeClient
) -> None:
    client.answers = [TypeError("ours"), ConsumerStoppedError()]
    with pytest.raises(KafkaError, match="ours"):
        await consumer._poll(client)
    assert consumer._detector._failing_since is not None
    with pytest.raises(ConsumerStoppedError):
        await consumer._poll(client)


async def test_a_failed_fetch_is_a_doubt(consumer: Consumer, worker: FakeWorker) -> None:
    consumer._doubt({PARTITION, ("other", 1)})
    assert worker.doubts == 1


async def test_an_assignment_seeks_at_once_and_a_revocation_ends_every_worker(
    consumer: Consumer, client: FakeClient, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = TopicPartition(PARTITION.topic, 1)
    client.assigned.add(other)

    async def fetch(*_: object) -> list[dict[str, Any]]:
        return [{"topic": PARTITION.topic, "partition": 0, "next_offset": 5}]

    made: list[Partition] = []

    def start(_: str, partition: Partition, *more: Any, **options: Any) -> FakeWorker:
        made.append(partition)
        return FakeWorker()

    consumer._database.pool.fetch = fetch  # type: ignore[method-assign]
    monkeypatch.setattr("shared.inbox.consumer.PartitionWorker", start)
    watched: list[Any] = []
    monkeypatch.setattr("shared.inbox.consumer.watch_fetches", lambda one, _: watched.append(one))
    await consumer._revoked()
    assert not worker.has_room
    await consumer._assigned([PARTITION, other])
    await consumer._revoked()
    await consumer._assigned([])
    assert watched == [client]
    assert client.sought == [(PARTITION, 5), (other, 0)]
    assert made == [PARTITION, other]


async def test_a_client_whose_start_is_held_is_not_asked(
    consumer: Consumer, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka has no fetcher until then, and answers with an AttributeError, which would end the process."""
    consumer._subscription = consumer._client = None
    consumer._was_assigned = False
    held = asyncio.Event()

    async def start(subscription: Any) -> None:
        await held.wait()

    def no_fetcher(*_: object) -> Any:
        raise AttributeError("'NoneType' object has no attribute 'end_offsets'")

    monkeypatch.setattr(Subscription, "start", start)
    monkeypatch.setattr(Subscription, "client", client)
    monkeypatch.setattr(client, "end_offsets", no_fetcher)
    starting = asyncio.create_task(consumer._start())
    for _ in range(3):
        await asyncio.wait([starting], timeout=0.01)
    with pytest.raises(NodeNotReadyError):
        await consumer.ends()
    assert consumer.lag() is None
    held.set()
    await starting
    assert consumer._client is client


async def test_the_end_offsets_are_unknown_before_the_start(consumer: Consumer) -> None:
    consumer._client = None
    with pytest.raises(NodeNotReadyError):
        await consumer.ends()


async def test_a_replica_without_topics_has_no_lag(consumer: Consumer, client: FakeClient) -> None:
    consumer._was_assigned = False
    assert consumer.lag() is None
    client.subscribed = frozenset()
    assert await consumer.ends() == {}
    assert consumer.lag() == 0


async def test_the_lag_counts_what_is_not_applied(consumer: Consumer, worker: FakeWorker) -> None:
    assert consumer.lag() == 6
    worker.next_offset = 12
    assert consumer.lag() == 0
    worker.next_offset = None
    assert consumer.lag() is None


async def test_end_offsets_leave_out_partitions_without_records(client: FakeClient) -> None:
    assert await end_offsets(client, [PARTITION.topic]) == {PARTITION: 10}
    client.begin = 10
    assert await end_offsets(client, [PARTITION.topic]) == {}


async def test_end_offsets_are_unknown_while_a_topic_has_no_known_partitions(client: FakeClient) -> None:
    with pytest.raises(UnknownTopicOrPartitionError, match="no partitions are known of a, b"):
        await end_offsets(client, ["b", PARTITION.topic, "a"])


async def test_a_pattern_that_shows_no_topics_is_asked_of_the_broker(client: FakeClient) -> None:
    client.subscribed = frozenset()
    client.topics_of_broker = {"civic.department.water.actions.v1": {0}, "civic.inquiry.v1": {0}}
    assert await subscribed_topics(client, r"^civic\.department\.") == ["civic.department.water.actions.v1"]
    assert await subscribed_topics(client, None) == []
