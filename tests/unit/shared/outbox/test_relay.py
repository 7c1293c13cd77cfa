"""The relay without a server: it ends when it is cancelled."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from shared.outbox.relay import Relay


@pytest.mark.parametrize("turns", range(5))
async def test_a_relay_that_is_cancelled_just_after_a_commit_ends(
    turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task group cancels once: a loop that swallows it keeps the process alive until it is killed."""
    database: Any = SimpleNamespace(committed=asyncio.Event(), settings=SimpleNamespace(service="routing"))
    nobody: Any = None
    relay = Relay(database, nobody)

    async def nothing_to_send() -> int:
        return 0

    monkeypatch.setattr(relay, "once", nothing_to_send)
    running = asyncio.create_task(relay.run())
    for _ in range(3):
        await asyncio.sleep(0)
    database.committed.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=1)
    running.cancel()
    assert done
