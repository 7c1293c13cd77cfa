"""A client that has stopped reading is found; one that fails for a moment is not given up."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaError

from shared.inbox import dead_client
from shared.inbox.dead_client import DeadClientDetector


class Client:
    """A client with both its tasks."""

    def __init__(self) -> None:
        self.task = asyncio.get_running_loop().create_future()
        self._coordinator = SimpleNamespace(_coordination_task=self.task)
        self._fetcher = SimpleNamespace(_fetch_task=self.task)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    moment = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(dead_client, "time", SimpleNamespace(monotonic=lambda: moment.seconds))
    return moment


async def test_polls_that_fail_for_a_minute_are_a_dead_client(now: SimpleNamespace) -> None:
    client = Client()
    detector = DeadClientDetector()
    for now.seconds in (0.0, 30.0, 60.0):
        detector.polled(succeeded=False)
        detector.check(client)
    now.seconds = 60.1
    with pytest.raises(KafkaError, match="polls fail"):
        detector.check(client)


async def test_one_poll_that_succeeds_ends_the_count(now: SimpleNamespace) -> None:
    detector = DeadClientDetector()
    detector.polled(succeeded=False)
    now.seconds = 59.0
    detector.polled(succeeded=True)
    detector.polled(succeeded=False)
    now.seconds = 100.0
    detector.check(Client())


async def test_a_client_with_an_ended_task_is_dead() -> None:
    client = Client()
    detector = DeadClientDetector()
    detector.check(client)
    client.task.set_result(None)
    with pytest.raises(KafkaError, match="has ended"):
        detector.check(client)
