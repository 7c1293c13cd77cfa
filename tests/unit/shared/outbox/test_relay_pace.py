"""The pause between publish batches: as long as the batch took, and none behind a full one."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from shared.outbox import relay
from shared.outbox.relay import Relay
from shared.outbox.rows import BATCH_ROWS


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    asked: list[float] = []

    async def sleep(seconds: float) -> None:
        asked.append(seconds)

    monkeypatch.setattr(relay, "asyncio", SimpleNamespace(sleep=sleep, Lock=asyncio.Lock))
    return asked


def relay_whose_batch(took: float, sent: int, monkeypatch: pytest.MonkeyPatch) -> Relay:
    now = iter((100.0, 100.0 + took))
    monkeypatch.setattr(relay, "time", SimpleNamespace(monotonic=lambda: next(now)))
    database: Any = SimpleNamespace(settings=SimpleNamespace(service="routing"))
    producer: Any = None
    found = Relay(database, producer)

    async def once() -> int:
        return sent

    monkeypatch.setattr(found, "once", once)
    return found


@pytest.mark.parametrize(("took", "pause"), [(0.01, 0.01), (0.07, 0.07), (5.0, relay._LONGEST_PAUSE_SECONDS)])
async def test_a_small_batch_is_followed_by_a_pause_as_long_as_it_took(
    took: float, pause: float, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    await relay_whose_batch(took, 1, monkeypatch)._paced_once()
    assert pauses == [pytest.approx(pause)]


async def test_a_full_batch_is_followed_by_the_next(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    await relay_whose_batch(0.07, BATCH_ROWS, monkeypatch)._paced_once()
    assert pauses == []
