"""The log alone: audit's writer over prefilled topics, beside plain COPY in the same run."""

import asyncio
import hashlib
import statistics
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import asyncpg

from bench.prefill import prefill, sample_records
from bench.progress import published_size
from bench.stage import Stage
from bench.whole import Failed, Tell
from shared.policy.model import Pack

_LOOK_SECONDS = 0.2
_STALL_SECONDS = 60.0
_COPY_ROWS = 50_000
_COPY_BATCH = 4000
_COPY_RUNS = 3
_COPY_EVENTS = 3000


@dataclass(frozen=True, slots=True)
class Log:
    """Entries under a published checkpoint, and rows a second of COPY (seq, hash, jsonb) before and after."""

    entries: int
    seconds: float
    quarters: list[float]
    cpu_us: dict[str, float]
    memory: dict[str, tuple[int, int, int]]
    copy_before: float
    copy_after: float

    @property
    def rate(self) -> float:
        return self.entries / self.seconds


async def run_log(on: Stage, entries: int, tell: Tell) -> Log:
    """Fills the topics, starts audit, and waits until all is logged. `on` has only audit, not started."""
    entries -= entries % 3
    installation = on.installation
    await prefill(installation.access, installation.namespace, on.pack, entries)
    copy_before = await _copy_rate(on.connection, on.pack)
    installation.start("audit")
    checkpoint = installation.folder / "data" / "log" / "checkpoint"
    # From the first checkpoint with entries on: what comes before is the process starting.
    first = await _wait_for(checkpoint, 1)
    begun = time.monotonic()
    meter = on.meter()
    await meter.take(on.connection)
    meter.begin()
    marks = [(0.0, first)]
    moved = begun
    while marks[-1][1] < entries:
        await asyncio.sleep(_LOOK_SECONDS)
        size, now = published_size(checkpoint), time.monotonic()
        if size > marks[-1][1]:
            marks.append((now - begun, size))
            moved = now
        elif now - moved > _STALL_SECONDS:
            raise Failed(f"the log stands still at {size} of {entries}")
        if len(marks) % 5 == 0:
            await meter.take(on.connection)
            tell(f"{size:>9,} entries")
    await meter.take(on.connection)
    logged = entries - first
    await installation.stop()
    return Log(
        logged,
        marks[-1][0],
        _quarters(marks),
        {name: spent * 1e6 / logged for name, spent in meter.cpu_seconds().items()},
        meter.three(),
        copy_before,
        await _copy_rate(on.connection, on.pack),
    )


async def _wait_for(checkpoint: Path, size: int) -> int:
    deadline = time.monotonic() + _STALL_SECONDS
    while (found := published_size(checkpoint)) < size:
        if time.monotonic() > deadline:
            raise Failed("audit has published nothing")
        await asyncio.sleep(_LOOK_SECONDS)
    return found


def _quarters(marks: list[tuple[float, int]]) -> list[float]:
    """The rate over each quarter of the time."""
    end = marks[-1][0]
    sizes = [max(size for at, size in marks if at <= end * quarter / 4) for quarter in range(5)]
    return [(after - before) * 4 / end for before, after in pairwise(sizes)]


async def _copy_rate(connection: asyncpg.Connection, pack: Pack) -> float:
    """Rows a second of COPY (seq bigint primary key, hash bytea, event jsonb), median of three."""
    events = [value.decode() for _, _, value, _ in sample_records("copy", pack, _COPY_EVENTS)]
    rates = []
    for _ in range(_COPY_RUNS):
        await connection.execute("DROP TABLE IF EXISTS plain_copy")
        await connection.execute(
            "CREATE TABLE plain_copy (seq bigint PRIMARY KEY, hash bytea NOT NULL, event jsonb NOT NULL)"
        )
        begun = time.monotonic()
        for first in range(0, _COPY_ROWS, _COPY_BATCH):
            last = min(first + _COPY_BATCH, _COPY_ROWS)
            rows = [(number, *_hashed(events[number % len(events)])) for number in range(first, last)]
            await connection.copy_records_to_table("plain_copy", records=rows)
        rates.append(_COPY_ROWS / (time.monotonic() - begun))
    return statistics.median(rates)


def _hashed(event: str) -> tuple[bytes, str]:
    return hashlib.sha256(event.encode()).digest(), event
