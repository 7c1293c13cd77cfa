"""Keeps a batch of a revoked partition from running beside the batch of its new owner."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.abc import ConsumerRebalanceListener


class Barrier(ConsumerRebalanceListener):  # type: ignore[misc]
    """Counts generations of ownership; records fetched in an older generation are discarded.

    `on_assigned` is called with the partitions of each new assignment. Work on partitions holds `lock`.
    """

    def __init__(self, on_assigned: Callable[[Any], Awaitable[None]]) -> None:
        self._on_assigned = on_assigned
        self.generation = 0
        self.lock = asyncio.Lock()

    async def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ARG002
        # Raised before the wait, so that a batch that waits for the database gives up.
        self.generation += 1
        async with self.lock:
            return

    async def on_partitions_assigned(self, assigned: Any) -> None:
        await self._on_assigned(assigned)
