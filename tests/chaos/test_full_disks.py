"""Full disks, one kind after another: the services say so meanwhile, and lose nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random

import httpx
import pytest

from deploy.local.pair import Pair
from harness.installation import Copy
from harness.resource_faults import Disks
from shared.settings import ServiceName
from tests.chaos.run import ChaosRun, chaos_run
from tests.waiting import until

pytestmark = pytest.mark.chaos
WARM = 20
SEEN_SECONDS = 25.0
ENVIRONMENT = {"BROKER_SILENCE_SECONDS": "3", "CONNECT_SECONDS": "2"}
"""`/readyz` waits for so long before it says that the broker is away."""


async def test_full_disks_are_said_and_cost_nothing_that_was_acknowledged(
    pair: Pair, folder: Path, disks: Disks | None
) -> None:
    if disks is None:
        pytest.skip("making a disk full needs the right to mount one (root, with CAP_SYS_ADMIN)")
    async with chaos_run(
        pair, folder, Random(8), environment=ENVIRONMENT, resources=True, disks=disks
    ) as city:
        async with city.at_work(rest_seconds=120):
            await city.asked(WARM)
            await said(city, "fill_log_disk", "audit", "publishing waits")
            await said(city, "fill_database_disk", "inquiry", "it takes no writes: DiskFull")
            await city.asked(len(city.citizens.cases) + WARM)
            await said(city, "fill_journal", "inquiry", "it takes no writes")
            await city.asked(len(city.citizens.cases) + WARM)
            await said(city, "fill_broker_disk", "routing", "no broker has answered")
            await city.asked(len(city.citizens.cases) + WARM)
        _, violations = await city.check()
    assert [str(violation) for violation in violations] == []


async def said(city: ChaosRun, fault: str, service: ServiceName, reason: str) -> None:
    """Injects a fault until one copy of the service is not ready for this reason."""
    enough = asyncio.Event()
    copies = [copy for copy in city.installation.copies if copy.service == service]
    async with asyncio.TaskGroup() as group, httpx.AsyncClient(timeout=5) as client:
        group.create_task(city.faults.inject(fault, enough))
        try:
            await until(says(client, copies, reason), f"{fault}: {service} says: {reason}", SEEN_SECONDS)
        finally:
            enough.set()


def says(client: httpx.AsyncClient, copies: Sequence[Copy], reason: str) -> Callable[[], Awaitable[bool]]:
    """Whether one of the copies is not ready for this reason."""

    async def condition() -> bool:
        answers = await asyncio.gather(
            *(client.get(f"{copy.url}/readyz") for copy in copies), return_exceptions=True
        )
        return any(
            isinstance(answer, httpx.Response) and not answer.is_success and reason in answer.text
            for answer in answers
        )

    return condition
