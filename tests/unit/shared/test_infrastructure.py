"""Loops that wait faults out still end when they are cancelled, even if their connection dies meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from services.publisher.push.workers import work
from shared.inbox.parking import Parking
from shared.infrastructure import is_passing
from shared.kafka.client import KafkaError
from shared.outbox.relay import Relay
from shared.unit_of_work.timers import Timers


def dying() -> Callable[[], Awaitable[int]]:
    """A transaction whose rollback fails, once: its error replaces the cancellation."""
    deaths = iter([asyncpg.ConnectionDoesNotExistError("connection was closed")])

    async def once() -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as cancelled:
            raise next(deaths, cancelled) from None
        return 0

    return once


async def nothing() -> None:
    """No shards are held."""


def loop_of(of: type[Parking | Timers | Relay]) -> Awaitable[None]:
    made = of.__new__(of)
    made.once = dying()  # type: ignore[method-assign]
    made._release = nothing  # type: ignore[union-attr, method-assign]
    return made.run()


LOOPS: dict[str, Callable[[], Awaitable[None]]] = {
    "parking": lambda: loop_of(Parking),
    "timers": lambda: loop_of(Timers),
    "relay": lambda: loop_of(Relay),
    "deliveries": lambda: work(dying(), "test"),
}


@pytest.mark.parametrize("name", LOOPS)
async def test_a_loop_ends_although_its_connection_dies_with_it(name: str) -> None:
    running = asyncio.ensure_future(LOOPS[name]())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=5)
    assert done
    assert running.cancelled()


async def test_an_error_that_passes_is_of_the_infrastructure_or_named() -> None:
    assert is_passing(asyncpg.ConnectionDoesNotExistError("gone"))
    assert is_passing(KafkaError("away"), KafkaError)
    assert not is_passing(KafkaError("away"))
    assert not is_passing(ValueError("ours"))
