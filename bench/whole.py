"""The whole way: intake to department, log and notice, sustained, with what each part of it costs."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.process import BaseProcess

from bench.generator import IN_FLIGHT, Counters, Plan, start_generator
from bench.progress import STEPS, Ends, Progress, Way, check_counts, topics_of
from bench.stage import Stage

BATCH = 200
_LOOK_SECONDS = 0.2
_STALL_SECONDS = 60.0

Tell = Callable[[str], None]

# The tables themselves, once it is over: what cursors say has happened must also be there.
_COUNTS = """
SELECT (SELECT count(*) FROM inquiry.inquiry WHERE stage = 'accepted' AND holding <> 'none')
           AS "known to inquiry",
       (SELECT count(*) FROM inquiry.timer) AS "timers armed",
       (SELECT count(*) FROM routing.case_file WHERE lead IS NOT NULL) AS "dispatched",
       (SELECT count(*) FROM audit.log_entry WHERE kind = 'event' AND type <> 'civic.delivery.succeeded.v1')
           AS "log entries but deliveries",
       (SELECT sum(1 + coalesce(jsonb_array_length(convert_from(value, 'UTF8')::jsonb #> '{data,others}'), 0))
        FROM audit.log_entry WHERE type = 'civic.delivery.succeeded.v1') AS "records stated in the log",
       (SELECT count(*) FROM publisher.delivery WHERE kind = 'notice' AND lane = 'email')
           AS "notices decided",
       (SELECT count(*) FROM inquiry.parked_key) + (SELECT count(*) FROM routing.parked_key)
           + (SELECT count(*) FROM publisher.parked_key) AS "parked keys"
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run of the whole way came to. Times in seconds from the first allowance."""

    inquiries: int
    seconds: float
    records: int
    contacts: int
    done_at: dict[str, float]
    quarters: list[float]
    """Inquiries a second through all steps, in each quarter of the run."""
    cpu_us: dict[str, float]
    memory: dict[str, tuple[int, int, int]]
    """MiB at start, middle and end."""

    @property
    def rate(self) -> float:
        return self.inquiries / self.seconds


class Failed(Exception):
    """The run did not arrive, or not with everything."""


async def run_whole(on: Stage, inquiries: int, tell: Tell, *, rate: float = 0) -> Result:
    """Generates `inquiries`, at most IN_FLIGHT ahead of the slowest step, and waits until all are through.

    `rate` per second instead of as fast as that allows. Raises Failed if nothing moves for a minute, or if
    the tables do not hold exactly what was sent.
    """
    counters = Counters()
    services, departments = topics_of(on.installation.namespace, on.installation.units)
    plan = Plan(inquiries, BATCH if not rate else max(1, int(rate / 50)), rate)
    generator = start_generator(on.installation.environment(on.installation.copy("inquiry")), plan, counters)
    try:
        async with Ends(on.installation.access, (*services, *departments)) as ends:
            way = Way(
                on.connection,
                ends,
                counters,
                on.installation.namespace,
                departments,
                on.installation.folder / "data" / "log" / "checkpoint",
            )
            return await _watch(on, way, generator, inquiries, tell)
    finally:
        generator.terminate()
        generator.join()


async def _watch(on: Stage, way: Way, generator: BaseProcess, inquiries: int, tell: Tell) -> Result:
    meter = on.meter(generator=generator.pid or 0)
    await meter.take(on.connection)
    meter.begin()
    counters = way.counters
    begun = time.monotonic()
    moved, reported = begun, begun
    through: list[tuple[float, int]] = [(0.0, 0)]
    done_at: dict[str, float] = {}
    while True:
        progress = await way.look()
        now = time.monotonic()
        counters.allowed.value = progress.through + IN_FLIGHT
        for step, count in zip(STEPS, progress.steps, strict=True):
            if count >= inquiries:
                done_at.setdefault(step, now - begun)
        if progress.through > through[-1][1]:
            through.append((now - begun, progress.through))
            moved = now
        if progress.settled and counters.committed.value == inquiries:
            break
        ended = not generator.is_alive() and counters.committed.value < inquiries
        if ended or now - moved > _STALL_SECONDS:
            raise Failed(f"stuck: {_line(progress)}")
        if now - reported >= 1:
            reported = now
            await meter.take(on.connection)
            tell(_line(progress))
        await asyncio.sleep(_LOOK_SECONDS)
    seconds = time.monotonic() - begun
    await meter.take(on.connection)
    await _check(on, counters, inquiries)
    return Result(
        inquiries,
        seconds,
        counters.records.value,
        counters.contacts.value,
        done_at,
        _quarters(through, inquiries, seconds),
        {name: spent * 1e6 / inquiries for name, spent in meter.cpu_seconds().items()},
        meter.three(),
    )


async def _check(on: Stage, counters: Counters, inquiries: int) -> None:
    records, contacts = counters.records.value, counters.contacts.value
    found = await on.connection.fetchrow(_COUNTS)
    wanted = {
        "known to inquiry": inquiries,
        "timers armed": inquiries,
        "dispatched": inquiries,
        "log entries but deliveries": 2 * inquiries,
        "records stated in the log": records,
        "notices decided": 2 * contacts,
        "parked keys": 0,
    }
    if wrong := check_counts(dict(found or {}), wanted):
        raise Failed("; ".join(wrong))


def _line(progress: Progress) -> str:
    return " ".join(f"{count:>8,}" for count in progress.steps)


def _quarters(through: list[tuple[float, int]], inquiries: int, seconds: float) -> list[float]:
    """The rate in each quarter of the work: falling ones would show that it slows down as it grows."""
    inner = (
        next((at for at, count in through if count >= share * inquiries), seconds)
        for share in (0.25, 0.5, 0.75)
    )
    marks = (0.0, *inner, seconds)
    return [inquiries / 4 / (end - start) if end > start else 0.0 for start, end in pairwise(marks)]
