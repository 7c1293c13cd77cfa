"""The low watermark: deadline checks depend on it, so it must never be too recent, nor stay old forever."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from shared.inbox.watermark import Watermark
from shared.kafka.records import Partition

MINE, SIBLING = ("t", 0), ("t", 1)


class Service:
    """What broker and tables say about one consumer, as both stand now."""

    def __init__(self) -> None:
        self.name = "c"
        self.at_broker: dict[Partition, int] = {MINE: 10, SIBLING: 4}
        self.cursors: dict[Partition, int] = {MINE: 10, SIBLING: 4}
        self.away: Exception | None = None
        self.pool = self

    async def ends(self) -> dict[Partition, int]:
        if self.away:
            raise self.away
        return dict(self.at_broker)

    async def fetch(self, _: str, consumer: str) -> list[dict[str, Any]]:
        assert consumer == self.name
        return [
            {"topic": topic, "partition": partition, "next_offset": offset}
            for (topic, partition), offset in self.cursors.items()
        ]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    moment = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr("shared.inbox.watermark.time", SimpleNamespace(monotonic=lambda: moment.seconds))
    return moment


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def watermark(service: Service, now: SimpleNamespace) -> Watermark:
    return Watermark(service, [service])  # type: ignore[arg-type,list-item]


async def test_before_the_first_sample_the_lag_is_infinite(watermark: Watermark) -> None:
    assert watermark.lag() == float("inf")


async def test_the_lag_is_zero_when_all_is_applied(watermark: Watermark, now: SimpleNamespace) -> None:
    await watermark.sample()
    assert watermark.lag() == 0
    now.seconds += 3
    assert watermark.lag() == 3


async def test_what_a_sibling_replica_has_not_applied_adds_to_the_lag(
    watermark: Watermark, service: Service, now: SimpleNamespace
) -> None:
    await watermark.sample()
    service.at_broker[SIBLING] = 5
    for _ in range(40):
        now.seconds += 1
        await watermark.sample()
    assert watermark.lag() == 40
    service.cursors[SIBLING] = 5
    now.seconds += 1
    await watermark.sample()
    assert watermark.lag() == 0


async def test_a_reader_behind_a_steady_stream_lags_by_its_distance(
    watermark: Watermark, service: Service, now: SimpleNamespace
) -> None:
    for second in range(60):
        service.at_broker[MINE] = 10 + second
        service.cursors[MINE] = max(10, 10 + second - 7)
        await watermark.sample()
        now.seconds += 1
    assert watermark.lag() == 8


async def test_a_partition_without_a_cursor_is_unread(watermark: Watermark, service: Service) -> None:
    service.at_broker[("t", 2)] = 1
    await watermark.sample()
    assert watermark.lag() == float("inf")


async def test_while_the_broker_is_away_the_lag_grows(
    watermark: Watermark, service: Service, now: SimpleNamespace
) -> None:
    await watermark.sample()
    service.away = KafkaConnectionError()
    now.seconds += 50
    with pytest.raises(KafkaConnectionError):
        await watermark.sample()
    assert watermark.lag() == 50


async def test_a_service_that_reads_nothing_has_no_lag(service: Service) -> None:
    watermark = Watermark(service, [])  # type: ignore[arg-type]
    await watermark.sample()
    assert watermark.lag() < 5
