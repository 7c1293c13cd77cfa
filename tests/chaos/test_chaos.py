"""Everything at once: a city at work, and faults of every kind; nothing is lost, doubled or misplaced."""

import asyncio
import itertools
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from deploy.local.pair import Pair
from harness.resource_faults import Disks
from tests.chaos.length import LONG, SECONDS, SEED
from tests.chaos.run import chaos_run
from tests.chaos.sabotage import FAULTS

WARM = 30


@pytest.mark.chaos
async def test_nothing_is_lost_doubled_or_out_of_order_whatever_breaks(
    pair: Pair, folder: Path, disks: Disks | None, capsys: pytest.CaptureFixture[str]
) -> None:
    random = Random(SEED)
    # In the short form what becomes short, and who holds a lock, have cities of their own.
    async with chaos_run(pair, folder, random, resources=LONG, disks=disks) as city:
        faults = city.faults
        async with city.at_work(rest_seconds=180):
            await city.asked(WARM)  # so that the first fault already has something to damage
            started = time.monotonic()
            for fault in itertools.chain(*FAULTS.values()):  # those of the controls
                await faults.inject(*fault)
            todo: list[str] = []
            while time.monotonic() - started < SECONDS or (todo and not LONG):
                if not todo:
                    # Each kind once before any comes again, in an order of its own each time.
                    todo = random.sample(list(faults.all), len(faults.all))
                await faults.inject(todo.pop())
                await asyncio.sleep(random.uniform(0.2, 1.5))
        history, violations = await city.check()
        if not violations:
            violations = await city.check_after_discards()
    counts = Counter(seen.type for seen in history.events.values())
    with capsys.disabled():
        print(  # noqa: T201  (what a long run did is worth a line)
            f"\n{len(city.citizens.cases)} cases ({city.citizens.faults} requests repeated), "
            f"{len(history.events)} events, {history.resent} sent again, "
            f"{len(history.unreadable)} unreadable; {faults.counts}"
        )
    assert not violations, "\n".join(str(violation) for violation in violations[:20])
    assert counts["civic.inquiry.closed.v1"] > 0, "a run in which no case was closed shows nothing"
    assert counts["civic.push.notice_sent.v1"] > 0, "a run in which no letter was sent shows nothing"
    assert counts["civic.inquiry.deadline_breached.v1"] > 0, "a run in which nothing was late shows nothing"
    assert history.resent > 0, "a run in which nothing came twice shows nothing"
