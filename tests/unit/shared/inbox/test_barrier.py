"""The barrier: a revocation is visible at once and lasts until running work has ended."""

import asyncio
from typing import Any

from shared.inbox.barrier import Barrier


async def assigned(_: Any) -> None:
    return


async def test_a_revocation_raises_the_generation_before_it_waits_for_running_work() -> None:
    barrier = Barrier(assigned)
    await barrier.lock.acquire()
    revoking = asyncio.create_task(barrier.on_partitions_revoked([]))
    await asyncio.sleep(0)
    assert barrier.generation == 1
    assert not revoking.done()
    barrier.lock.release()
    await asyncio.wait_for(revoking, 1)


async def test_an_assignment_is_passed_on() -> None:
    seen: list[Any] = []

    async def remember(partitions: Any) -> None:
        seen.append(partitions)

    barrier = Barrier(remember)
    await barrier.on_partitions_assigned(["p"])
    assert (seen, barrier.generation) == ([["p"]], 0)
