"""Loops that wait faults out still end when they are cancelled, even if their connection dies meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from services.publisher.push.workers import work
from shared.inbox.parking import Parking
from shared.infrastructure import is_infrastructure, is_passing
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


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")])
async def test_a_lack_of_memory_is_no_events_fault_and_ends_the_process(error: Exception) -> None:
    assert is_infrastructure(error)
    assert not is_passing(error)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UndefinedTableError("x"),
        asyncpg.UndefinedColumnError("x"),
        asyncpg.InsufficientPrivilegeError("x"),
        asyncpg.LockNotAvailableError("x"),
        asyncpg.TransactionTimeoutError("x"),
        asyncpg.IdleInTransactionSessionTimeoutError("x"),
        asyncpg.IdleSessionTimeoutError("x"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InterfaceError("cannot perform operation: connection is closed"),
        asyncpg.InterfaceError("cannot call Connection.fetch(): the underlying connection is closed"),
        asyncpg.InterfaceError("cannot call Connection.x(): connection has been released back to the pool"),
        asyncpg.InterfaceError("pool is closing"),
        asyncpg.InterfaceError("pool is closed"),
        RuntimeError("unable to perform operation on <TCPTransport closed=True 0x1>; the handler is closed"),
    ],
)
def test_a_lost_connection_and_a_schema_of_another_release_are_waited_out(error: Exception) -> None:
    assert is_infrastructure(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("x"),
        asyncpg.PostgresSyntaxError("x"),
        asyncpg.UndefinedFunctionError("x"),
        asyncpg.AmbiguousColumnError("x"),
        asyncpg.DatatypeMismatchError("x"),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        asyncpg.InterfaceError("the server expects 1 argument for this query, 2 were passed"),
        asyncpg.InterfaceError("cannot call PreparedStmt.fetch(): the prepared statement is closed"),
    ],
)
def test_what_a_handler_gets_wrong_is_its_own_fault(error: Exception) -> None:
    assert not is_infrastructure(error)
