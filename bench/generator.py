"""Takes in concerns in a separate process, as an import does: each batch is one transaction."""

import asyncio
import gc
import os
import time
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any

import asyncpg
import uvloop

from bench.sample import Samples
from services.inquiry.config import secret_key
from services.inquiry.intake import Intake
from shared.clock import open_clock
from shared.contracts import registry  # noqa: F401  (registers every type)
from shared.packs import Packs
from shared.settings import CoreSettings
from shared.unit_of_work.database import Database

SPAWN = get_context("spawn")
IN_FLIGHT = 5000
"""How far the generator may be ahead of the slowest step."""
_FULL_WAIT = 0.005


def _counter() -> Any:
    return SPAWN.Value("q", 0)


@dataclass(frozen=True, slots=True)
class Counters:
    """Shared with the generator: how many inquiries it may make, and how many it has made."""

    allowed: Any = field(default_factory=_counter)
    committed: Any = field(default_factory=_counter)
    contacts: Any = field(default_factory=_counter)
    records: Any = field(default_factory=_counter)
    """Records that the catalogue sends to units' topics for what was committed."""
    offered: Any = field(default_factory=_counter)
    """Inquiries among them that it sends to at least one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to generate: `total` inquiries, `batch` a transaction; `rate` per second, or 0 for no limit."""

    total: int
    batch: int
    rate: float = 0
    seed: int = 20261124


def start_generator(environment: dict[str, str], plan: Plan, counters: Counters) -> BaseProcess:
    """A started process; `environment` is that of an inquiry process."""
    process = SPAWN.Process(target=_main, args=(environment, plan, counters), daemon=True)
    process.start()
    return process


def _main(environment: dict[str, str], plan: Plan, counters: Counters) -> None:
    os.environ.update(environment)
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # as the services do
    uvloop.run(_generate(plan, counters))


async def _generate(plan: Plan, counters: Counters) -> None:
    settings = CoreSettings.for_service("inquiry")
    async with asyncpg.create_pool(
        settings.service_database_url,
        min_size=1,
        max_size=1,
        # A name of its own, so that its backend is not counted as the service's.
        server_settings={"search_path": "inquiry", "application_name": "generator"},
    ) as pool:
        database = Database(pool, settings, open_clock(None), epoch=1)
        packs = await Packs.open(database, settings)
        intake = Intake(packs, secret_key(settings))
        samples = Samples(packs.current, database.clock.now().date(), plan.seed)
        while counters.allowed.value == 0:
            await asyncio.sleep(_FULL_WAIT)
        begun = time.monotonic()
        while (done := counters.committed.value) < plan.total:
            count = min(plan.batch, plan.total - done, counters.allowed.value - done)
            if plan.rate:
                count = min(count, int((time.monotonic() - begun) * plan.rate) - done)
            if count <= 0:
                await asyncio.sleep(_FULL_WAIT)
                continue
            taken = samples.take(count)
            async with database.transaction() as tx:
                await intake.take_in(tx, [sample.concern for sample in taken])
            counters.contacts.value += sum(sample.concern.contact is not None for sample in taken)
            counters.records.value += sum(sample.records for sample in taken)
            counters.offered.value += sum(sample.records > 0 for sample in taken)
            counters.committed.value = done + count
