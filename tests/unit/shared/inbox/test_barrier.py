"""The barrier: a revocation lasts until running work has ended."""

import asyncio
from typing import Any

from shared.inbox.barrier import Barrier


async def test_a_revocation_lasts_until_running_work_has_ended() -> None:
    ended = asyncio.Event()

    async def assigned(_: Any) -> None:
        return

    async def revoked() -> None:
        await ended.wait()

    revoking = asyncio.create_task(Barrier(assigned, revoked).on_partitions_revoked([]))
    await asyncio.sleep(0)
    assert not revoking.done()
    ended.set()
    await asyncio.wait_for(revoking, 1)


async def test_an_assignment_is_passed_on() -> None:
    seen: list[Any] = []

    async def remember(partitions: Any) -> None:
        seen.append(partitions)

    async def revoked() -> None:
        return

    await Barrier(remember, revoked).on_partitions_assigned(["p"])
    assert seen == [["p"]]
