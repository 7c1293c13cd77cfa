"""How old the oldest unread event is: judgements hang on it, so neither too young nor for ever old."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from shared.consumer import Consumer
from shared.handlers import Handlers
from shared.slices import Slices

BUSY, IDLE = SimpleNamespace(topic="t", partition=0), SimpleNamespace(topic="t", partition=1)


class Client:
    """The broker's client as far as ages are asked of it: where it stands and what the broker has."""

    def __init__(self) -> None:
        self.positions = {0: 10, 1: 0}
        self.ends = {0: 10, 1: 0}
        self._subscription = SimpleNamespace(
            subscription=SimpleNamespace(assignment=SimpleNamespace(state_value=self._state))
        )

    def assignment(self) -> list[Any]:
        return [BUSY, IDLE]

    def last_poll_timestamp(self, _: Any) -> float:
        return time.time() * 1000

    def highwater(self, place: Any) -> int:
        return self.ends[place.partition]

    def _state(self, place: Any) -> Any:
        return SimpleNamespace(has_valid_position=True, position=self.positions[place.partition])


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def consumer(client: Client) -> Consumer:
    consumer = Consumer(SimpleNamespace(), Handlers(), name="c", topics=["t"])  # type: ignore[arg-type]
    consumer._subscriber = SimpleNamespace(consumer=client)
    return consumer


def batch_of(seconds_old: float) -> Any:
    appended_ms = int((time.time() - seconds_old) * 1000)
    record = SimpleNamespace(
        topic="t", partition=0, offset=9, timestamp=appended_ms, key=b"k", value=b"{}", headers=()
    )
    return 0, [record]


async def test_while_a_batch_is_at_work_its_own_records_make_the_age(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the partition beside it that has never had a record."""
    ages: list[float] = []

    async def process(*_: Any, **__: Any) -> int:
        ages.append(consumer.unread_age())
        return 10

    monkeypatch.setattr(Slices, "process", process)
    await consumer._handle(batch_of(5))
    assert 5 <= ages[0] < 8
    assert consumer.unread_age() < 1


async def test_what_the_broker_still_has_is_as_old_as_what_was_applied_last(
    consumer: Consumer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def process(*_: Any, **__: Any) -> int:
        return 10

    monkeypatch.setattr(Slices, "process", process)
    await consumer._handle(batch_of(40))
    assert consumer.unread_age() < 1
    client.ends[0] = 11
    assert 40 <= consumer.unread_age() < 43
    client.ends[1] = 1  # of a partition of which nothing was applied yet nothing is known
    assert consumer.unread_age() > 10**6
