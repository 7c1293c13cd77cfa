"""The loops of a service: none ends in silence."""

import asyncio

import pytest

from shared.service import _lasting


async def cancelled_from_within() -> None:
    """As a library does that cancels a task of its own and waits for it."""
    inner = asyncio.ensure_future(asyncio.sleep(10))
    await asyncio.sleep(0)
    inner.cancel()
    await inner


async def test_a_loop_that_is_cancelled_from_within_ends_all_of_them() -> None:
    with pytest.raises(ExceptionGroup) as found:
        async with asyncio.TaskGroup() as group:
            group.create_task(_lasting(cancelled_from_within))
            group.create_task(_lasting(lambda: asyncio.sleep(10)))
    assert "was cancelled from within" in str(found.value.exceptions[0])


async def test_a_task_group_alone_would_not_notice() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(cancelled_from_within())


async def test_a_loop_that_is_asked_to_end_does() -> None:
    task = asyncio.create_task(_lasting(lambda: asyncio.sleep(10)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
