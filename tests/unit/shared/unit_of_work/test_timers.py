"""The pace of the timer loop, without a database."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from shared.unit_of_work import timers
from shared.unit_of_work.timers import Timers


@pytest.mark.parametrize(("took", "pause"), [(0.001, 0.2), (0.1, 2.0)])
async def test_a_look_that_takes_long_and_finds_nothing_is_followed_by_a_longer_pause(
    took: float, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else thousands of checks that may not fire would keep a core busy."""
    nobody: Any = None
    loop = Timers(nobody, watermark_lag=lambda: 0.0)
    now = 0.0
    pauses: list[float] = []

    async def look() -> int:
        nonlocal now
        now += took
        return 0

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        raise asyncio.CancelledError

    monkeypatch.setattr(loop, "once", look)
    monkeypatch.setattr(timers, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(timers, "asyncio", SimpleNamespace(sleep=sleep))
    with pytest.raises(asyncio.CancelledError):
        await loop.run()
    assert pauses == [pytest.approx(pause)]
