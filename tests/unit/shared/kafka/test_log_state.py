"""Those who ask for log states at the same time share one client."""

import asyncio
from collections.abc import Mapping

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError

from shared.kafka import log_state
from shared.kafka.fingerprint import LogState
from shared.kafka.log_state import LogStates
from shared.kafka.records import Partition
from shared.kafka_access import KafkaAccess

Asked = list[Mapping[Partition, int | None]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the broker is asked; it does not know the topic `missing`, and is away for `away`."""
    seen: Asked = []

    async def read(_: str, __: str, offsets: Mapping[Partition, int | None]) -> dict[Partition, LogState]:
        seen.append(offsets)
        if ("away", 0) in offsets:
            raise KafkaConnectionError
        return {one: LogState(0, 9) for one in offsets if one[0] != "missing"}

    monkeypatch.setattr(log_state, "read_log_states", read)
    return seen


async def test_one_client_answers_all_also_two_who_ask_for_the_same(asked: Asked) -> None:
    states = LogStates(KafkaAccess("broker"), "test")
    found = await asyncio.gather(
        states.read(("t", 0), 4), states.read(("t", 1), None), states.read(("t", 0), None)
    )
    assert found == [LogState(0, 9)] * 3
    assert asked == [{("t", 0): 4, ("t", 1): None}]
    await states.read(("t", 0), 5)
    assert len(asked) == 2


async def test_a_partition_that_nobody_answers_for_fails_alone(asked: Asked) -> None:
    states = LogStates(KafkaAccess("broker"), "test")
    found = await asyncio.gather(
        states.read(("t", 0), 4), states.read(("missing", 0), 4), return_exceptions=True
    )
    assert found[0] == LogState(0, 9)
    assert isinstance(found[1], KafkaError)


async def test_an_error_of_the_broker_is_that_of_all_who_asked(asked: Asked) -> None:
    states = LogStates(KafkaAccess("broker"), "test")
    with pytest.raises(KafkaConnectionError):
        await states.read(("away", 0), None)


async def test_one_who_has_given_up_does_not_keep_the_answer_from_others(asked: Asked) -> None:
    states = LogStates(KafkaAccess("broker"), "test")
    gone = asyncio.create_task(states.read(("t", 0), 4))
    await asyncio.sleep(0)
    gone.cancel()
    assert await states.read(("t", 1), 4) == LogState(0, 9)


async def test_stopping_ends_what_runs(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_state, "_GATHER_SECONDS", 60)
    monkeypatch.setattr(log_state, "_STOP_SECONDS", 0.01)
    states = LogStates(KafkaAccess("broker"), "test")
    waiting = asyncio.create_task(states.read(("t", 0), 4))
    await asyncio.sleep(0)
    await states.stop()
    assert asked == []
    waiting.cancel()
