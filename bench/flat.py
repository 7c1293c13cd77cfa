"""Whether what is sampled over hours is flat. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import median, pstdev

SHARE = 0.05
_FEWEST = 8
_ERRORS = 3


@dataclass(frozen=True, slots=True)
class Level:
    """How a series behaves over the second half of its time.

    `level` is its median there and `growth` what its slope adds over that half, in its own unit; up to
    `allowed` is noise.
    """

    level: float
    growth: float
    allowed: float

    @property
    def is_flat(self) -> bool:
        """Not growing: what shrinks is flat as well."""
        return self.growth <= self.allowed


def judge(seconds: Sequence[float], values: Sequence[float], floor: float) -> Level:
    """The level of one series: caches fill in the first half, which is therefore left out.

    The slope is the median of those between any two samples, so that a single peak does not tilt it. A growth
    of `floor`, of a twentieth of the level, or of three times its own error is allowed. Raises ValueError for
    fewer than eight samples, since nothing could be said then.
    """
    if len(values) < _FEWEST:
        raise ValueError(f"{len(values)} samples, wanted {_FEWEST}: the time was too short")
    middle = (seconds[0] + seconds[-1]) / 2
    half = [(at, value) for at, value in zip(seconds, values, strict=True) if at >= middle]
    slope = median((later[1] - one[1]) / (later[0] - one[0]) for one, later in combinations(half, 2))
    level = median(value for _, value in half)
    middle_of_half = (half[0][0] + half[-1][0]) / 2
    noise = pstdev(value - slope * (at - middle_of_half) for at, value in half)
    error = noise * sqrt(12 / len(half))
    return Level(level, slope * (half[-1][0] - half[0][0]), max(floor, SHARE * abs(level), _ERRORS * error))


def judge_all(
    seconds: Sequence[float], series: Mapping[str, Sequence[float]], floors: Mapping[str, float]
) -> dict[str, Level]:
    """The level of each series by name; its floor is that of the last word of the name, its unit."""
    return {name: judge(seconds, values, floors[name.split()[-1]]) for name, values in series.items()}
