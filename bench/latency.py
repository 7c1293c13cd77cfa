"""Latency from intake to its record on the unit's topic, at half the rate of the whole way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from bench.appended import WARM_UP_SECONDS, latencies
from bench.progress import STEPS, topics_of
from bench.stage import Stage
from bench.whole import Failed, Result, Tell, run_whole
from shared.ids import moment_of

SECONDS = 60
_HELD = 0.95


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in milliseconds over so many records.

    They count from the moment in the inquiry's id, which is that of its transaction's start: what the commit
    itself takes is in it.
    """

    records: int
    p50_ms: float
    p99_ms: float
    most_ms: float

    @classmethod
    def of(cls, found: Sequence[float]) -> Self:
        """From sorted milliseconds."""
        return cls(len(found), found[len(found) // 2], found[int(len(found) * 0.99)], found[-1])


async def run_latency(on: Stage, rate: float, tell: Tell) -> tuple[Latency, Result]:
    """Generates at `rate` for a little more than a minute, then reads the units' topics. `on` must be fresh.

    Raises Failed if the rate was not held: the figures of another rate would pass for those of this one.
    """
    inquiries = int(rate * (WARM_UP_SECONDS + SECONDS))
    result = await run_whole(on, inquiries, tell, rate=rate)
    held = inquiries / result.done_at[STEPS[0]]
    if held < rate * _HELD:
        raise Failed(f"only {held:,.0f} of {rate:,.0f} inquiries/s were taken in")
    _, departments = topics_of(on.installation.namespace, on.installation.units)
    return Latency.of(await latencies(on.installation.access, departments, _begun_ms)), result


def _begun_ms(key: bytes) -> float:
    return moment_of(key.decode()).timestamp() * 1000
