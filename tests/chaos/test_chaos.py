"""Everything at once: a city at work, and faults of every kind; nothing is lost, doubled or misplaced."""

import asyncio
import datetime as dt
import os
import time
from collections import Counter
from pathlib import Path
from random import Random

import httpx
import pytest

from deploy.local.pair import Pair
from shared.clock import FileClock
from shared.testing.city import Citizens, Departments
from shared.testing.driver import write_clock
from shared.testing.faults import Faults
from shared.testing.installation import Installation
from shared.testing.observation import Observation
from tests.chaos.judgement import judge
from tests.chaos.length import LONG, SECONDS

MONDAY = dt.datetime(2026, 11, 23, 2, tzinfo=dt.UTC)
WARM = 30
SEED = int(os.environ.get("CHAOS_SEED", "20261124"))


async def citizens_ask(citizens: Citizens, stop: asyncio.Event, pause: float) -> None:
    """One after another; now and then somebody looks back at an old case and rates it."""
    async with httpx.AsyncClient(timeout=10) as client:
        while not stop.is_set():
            await citizens.ask(client)
            waiting = [case for case in citizens.cases.values() if case.id not in citizens.evaluated]
            if waiting and citizens.random.random() < 0.5:
                solved = citizens.random.choice(["yes", "yes", "no"])
                await citizens.evaluate(client, citizens.random.choice(waiting), solved)
            await asyncio.sleep(pause)


async def time_goes_on(clock: Path, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await asyncio.sleep(0.25)
        write_clock(clock, FileClock(clock).now() + dt.timedelta(seconds=0.25))


@pytest.mark.chaos
async def test_nothing_is_lost_doubled_or_out_of_order_whatever_breaks(
    pair: Pair, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = Random(SEED)
    clock = folder / "clock"
    write_clock(clock, MONDAY)
    stop = asyncio.Event()
    async with (
        Installation(pair.database_url, pair.bootstrap, folder, copies=2, clock_file=clock) as installation,
        Observation(installation) as observation,
    ):
        citizens = Citizens(installation, random)
        departments = Departments(installation, installation.units)
        faults = Faults(installation, observation, random, broker=pair.kafka, database=pair.postgres)
        playing = asyncio.create_task(departments.run())
        moving = [asyncio.create_task(citizens_ask(citizens, stop, 0.1)) for _ in range(4)]
        moving.append(asyncio.create_task(time_goes_on(clock, stop)))
        async with asyncio.timeout(60):
            while len(citizens.cases) < WARM:  # so that the first fault already has something to damage
                await asyncio.sleep(0.1)
        started = time.monotonic()
        todo: list[str] = []
        while time.monotonic() - started < SECONDS or (todo and not LONG):
            if not todo:
                # Each kind once before any comes again, in an order of its own each time.
                todo = random.sample(list(faults.all), len(faults.all))
            await faults.inject(todo.pop())
            await asyncio.sleep(random.uniform(0.2, 1.5))
        stop.set()
        await asyncio.gather(*moving)
        await observation.settle(180)
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        history, violations = await judge(installation, observation, citizens, faults.injected)
        await faults.close()
    counts = Counter(seen.type for seen in history.events.values())
    with capsys.disabled():
        print(  # noqa: T201  (what a long run did is worth a line)
            f"\n{len(citizens.cases)} cases ({citizens.faults} requests repeated), {len(history.events)} "
            f"events, {history.resent} sent again, {len(history.unreadable)} unreadable; {faults.counts}"
        )
    assert [str(violation) for violation in violations][:20] == []
    assert counts["civic.inquiry.closed.v1"] > 0, "a run in which no case was closed shows nothing"
    assert history.resent > 0, "a run in which nothing came twice shows nothing"
