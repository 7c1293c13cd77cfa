"""A soak: the whole city at a steady rate for long, and whether what should be flat is flat."""

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import httpx
import psutil
from aiosmtpd.controller import UnthreadedController

from bench.disk import Place, added, measure_disk
from bench.flat import Level, judge_all
from bench.sample import Samples
from bench.stage import Stage
from bench.usage import Meter
from bench.whole import Failed, Tell
from deploy.local.mail import Folder
from harness.city import Case, Citizens, Departments
from harness.observation import NotQuiet, Observation
from shared.clock import machine_now
from shared.settings import SERVICES

MINUTES = 60
RATE = 20.0
_SAMPLES = 240
_SETTLE_SECONDS = 600
_AT_A_TIME = 64
_EVALUATED = 0.5
_EVALUATED_AFTER = 20.0
_MEBIBYTE = 1 << 20

# A growth below that is none. A vacuum leaves a table at the size that its busiest moment gave it.
FLOORS = {"MiB": 8.0, "descriptors": 8.0, "sessions": 4.0, "rows": 40.0}

# Their rows wait for something that is to happen soon. All other tables keep what happened.
PASSING = frozenset(
    f"{service}.{table}"
    for service, tables in {
        "publisher": ("early_step", "push_batch"),
        "inquiry": (),
        "routing": ("stray_action",),
        "audit": ("log_gap", "log_refusal"),
    }.items()
    for table in (
        *("outbox", "outbox_aside", "parked_key", "parked_event", "dead_letter", "expectation", "topic_loss"),
        *tables,
    )
)
# Their rows are written to all the time, or replaced.
_REWRITTEN = (*(f"{service}.cursor" for service in SERVICES), "audit.log_checkpoint", "audit.log_cursor")
_COUNTS = {
    **{
        f"{s}.timer overdue": f"SELECT count(*) FROM {s}.timer WHERE fires_at < now() - interval '1 minute'"
        for s in SERVICES
        if s != "audit"
    },
    "publisher.delivery open": (
        "SELECT count(*) FROM publisher.delivery WHERE state IN ('pending', 'sending')"
    ),
}


@dataclass(slots=True)
class Series:
    """The samples so far: a value of every name at each moment."""

    seconds: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)

    @property
    def longest_gap(self) -> float:
        """Seconds in which nobody looked: long where the machine did not let us."""
        return max(after - before for before, after in pairwise(self.seconds))

    def add(self, at: float, values: dict[str, float]) -> None:
        self.seconds.append(at)
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)


@dataclass(frozen=True, slots=True)
class Soak:
    """What a soak came to: `levels` by the name of a series, `disk` what the cases have added, by place."""

    cases: int
    evaluated: int
    seconds: float
    waited_for: int
    """Times that a citizen had to ask again."""
    levels: dict[str, Level]
    disk: dict[str, Place]
    rows: dict[str, int]
    left: dict[str, int]
    """Rows of tables whose rows come and go, once all is at rest: there should be none."""
    series: Series

    @property
    def growing(self) -> list[str]:
        return [name for name, level in self.levels.items() if not level.is_flat]


@contextlib.asynccontextmanager
async def mail_server(port: int, folder: Path) -> AsyncIterator[None]:
    """Takes the citizens' mails, on this loop."""
    loop = asyncio.get_running_loop()
    controller = UnthreadedController(Folder(folder), hostname="127.0.0.1", port=port, loop=loop)
    async with await loop.create_server(controller.factory, host="127.0.0.1", port=port):
        yield


async def run_soak(on: Stage, minutes: float, rate: float, tell: Tell) -> Soak:
    """Runs citizens and units for so long, waits until all is at rest, and judges.

    Raises Failed if a copy ends, or if the city does not come to rest with every case in the tables.
    """
    here = on.installation
    meter = on.meter(bench=os.getpid())
    kafka = on.servers.folder / "kafka" / "log"
    log = here.folder / "data" / "log"
    before = await measure_disk(on.connection, kafka, here.namespace, log)
    rows_before = await _rows(on.connection)
    city = Citizens(here, Random(1))
    units = asyncio.create_task(Departments(here, here.units).run())
    begun = time.monotonic()
    try:
        asking = asyncio.create_task(_citizens(on, city, minutes * 60, rate))
        series = await _watch(on, meter, asking, minutes * 60, tell)
        await asking
        seconds = time.monotonic() - begun
        await _rest(on, city)
    finally:
        units.cancel()
        await asyncio.gather(units, return_exceptions=True)
    after = await measure_disk(on.connection, kafka, here.namespace, log)
    rows = await _rows(on.connection)
    return Soak(
        len(city.cases),
        len(city.evaluated),
        seconds,
        city.faults,
        judge_all(series.seconds, series.values, FLOORS),
        added(before, after),
        {name: count - rows_before.get(name, 0) for name, count in rows.items()},
        {name: count for name, count in rows.items() if count and name in PASSING},
        series,
    )


async def _citizens(on: Stage, city: Citizens, seconds: float, rate: float) -> None:
    """Asks at that rate, or as fast as so many citizens at a time are answered; half of them evaluate."""
    samples = Samples(on.pack, machine_now().date(), seed=4)
    to_evaluate: deque[tuple[float, Case]] = deque()
    begun = time.monotonic()
    started = under_way = 0
    async with httpx.AsyncClient(timeout=10) as client, asyncio.TaskGroup() as tasks:

        async def ask() -> None:
            case = await city.ask(client, samples.take(1)[0].body())
            if city.random.random() < _EVALUATED:
                to_evaluate.append((time.monotonic() + _EVALUATED_AFTER, case))

        async def evaluate(case: Case) -> None:
            if not await city.evaluate(client, case):
                to_evaluate.append((time.monotonic() + _EVALUATED_AFTER, case))

        def start(work: Coroutine[Any, Any, None]) -> None:
            nonlocal under_way
            under_way += 1
            tasks.create_task(work).add_done_callback(ended)

        def ended(_: object) -> None:
            nonlocal under_way
            under_way -= 1

        while (passed := time.monotonic() - begun) < seconds:
            while to_evaluate and to_evaluate[0][0] <= time.monotonic() and under_way < _AT_A_TIME:
                start(evaluate(to_evaluate.popleft()[1]))
            while started < passed * rate and under_way < _AT_A_TIME:
                start(ask())
                started += 1
            await asyncio.sleep(0.02)


async def _watch(on: Stage, meter: Meter, asking: "asyncio.Task[None]", seconds: float, tell: Tell) -> Series:
    """A sample at a time until the citizens have asked for so long. An error of theirs is raised at once."""
    series = Series()
    pause = max(1.0, seconds / _SAMPLES)
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < seconds:
        series.add(passed, await _sample(on, meter))
        tell(f"{passed / 60:.1f} of {seconds / 60:.0f} min")
        if ended := on.installation.ended_by_themselves():
            raise Failed("; ".join(ended))
        await asyncio.wait({asking}, timeout=pause)
        if asking.done():
            asking.result()
    return series


async def _sample(on: Stage, meter: Meter) -> dict[str, float]:
    await meter.take(on.connection)
    values: dict[str, float] = {f"{name} memory MiB": sizes[-1] for name, sizes in meter.memory.items()}
    del values["bench memory MiB"]
    for name, pid in meter.processes.items():
        if name != "bench":
            values[f"{name} descriptors"] = psutil.Process(pid).num_fds()
    sessions = await on.connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL")
    values["postgresql sessions"] = sessions
    for name in (*sorted(PASSING), *_REWRITTEN):
        found = await on.connection.fetchrow(f"SELECT count(*), pg_total_relation_size('{name}') FROM {name}")
        assert found is not None
        values[f"{name} rows"], values[f"{name} MiB"] = found[0], found[1] / _MEBIBYTE
    for name, statement in _COUNTS.items():
        values[f"{name} rows"] = await on.connection.fetchval(statement)
    return values


async def _rest(on: Stage, city: Citizens) -> None:
    async with Observation(on.installation) as observation:
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                while await on.connection.fetchval(_COUNTS["publisher.delivery open"]):
                    await asyncio.sleep(1)
            await observation.settle(_SETTLE_SECONDS)
        except (NotQuiet, TimeoutError) as error:
            raise Failed(f"not at rest {_SETTLE_SECONDS} s after the last citizen: {error!r}") from error
    stored = await on.connection.fetchval("SELECT count(*) FROM inquiry.inquiry")
    if stored != len(city.cases):
        raise Failed(f"{stored} cases in the table, {len(city.cases)} were acknowledged")


async def _rows(connection: asyncpg.Connection) -> dict[str, int]:
    """Exact numbers of rows, by table: it reads whole tables."""
    names = await connection.fetch(
        "SELECT schemaname || '.' || relname AS name FROM pg_stat_user_tables "
        "WHERE schemaname = ANY($1::text[])",
        list(SERVICES),
    )
    return {row["name"]: await connection.fetchval(f"SELECT count(*) FROM {row['name']}") for row in names}
