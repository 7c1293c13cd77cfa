"""Waiting for what other tasks and processes do, and loops that run beside a test."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

_POLL_SECONDS = 0.02


async def until(found: Callable[[], object], what: str | None = None, seconds: float = 40) -> Any:
    """Calls `found`, a plain or an async function, until its answer is true, and returns that answer.

    Fails the test after `seconds` with `what` was waited for (by default the name of the function).
    """
    try:
        async with asyncio.timeout(seconds):
            while True:
                answer = found()
                if inspect.isawaitable(answer):
                    answer = await answer
                if answer:
                    return answer
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        pytest.fail(f"not within {seconds} s: {what or getattr(found, '__name__', found)}")


@asynccontextmanager
async def running(*loops: Callable[[], Awaitable[Any]]) -> AsyncIterator[None]:
    """Runs the loops beside the body, and cancels them when it ends."""
    tasks = [asyncio.ensure_future(loop()) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
