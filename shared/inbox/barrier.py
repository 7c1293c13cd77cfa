"""Keeps a batch of a revoked partition from running beside the batch of its new owner."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.abc import ConsumerRebalanceListener


class Barrier(ConsumerRebalanceListener):  # type: ignore[misc]
    """Passes on what the group assigns; a revocation ends only when `on_revoked` has.

    The group gives our partitions to nobody else before that, unless it takes longer than its rebalance
    timeout.
    """

    def __init__(
        self, on_assigned: Callable[[Any], Awaitable[None]], on_revoked: Callable[[], Awaitable[None]]
    ) -> None:
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked

    async def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ARG002  (always all of them)
        await self._on_revoked()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        await self._on_assigned(assigned)
