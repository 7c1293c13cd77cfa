"""A soak names what grows, and only that."""

import math
from random import Random

import pytest

from bench.flat import judge, judge_all

HOUR = [15.0 * number for number in range(240)]


def noisy(level: float, slope_an_hour: float, noise: float) -> list[float]:
    random = Random(1)
    return [level + slope_an_hour * at / 3600 + random.uniform(-noise, noise) for at in HOUR]


def test_noise_around_a_level_is_flat() -> None:
    found = judge(HOUR, noisy(100, 0, 30), floor=8)
    assert found.is_flat
    assert found.level == pytest.approx(100, abs=10)


def test_what_grows_is_named() -> None:
    """The control: as much growth as noise, and none of its neighbours is named."""
    series = {
        "a memory MiB": noisy(100, 0, 20),
        "b memory MiB": noisy(100, 40, 20),
        "c rows": noisy(1000, 0, 20),
        "d rows": noisy(0, 200, 20),
    }
    levels = judge_all(HOUR, series, {"MiB": 8, "rows": 40})
    assert [name for name, one in levels.items() if not one.is_flat] == ["b memory MiB", "d rows"]
    assert levels["b memory MiB"].growth == pytest.approx(20, abs=10)


def test_a_cache_that_fills_in_the_first_half_is_flat() -> None:
    filling = [100 + 50 * (1 - math.exp(-at / 300)) for at in HOUR]
    assert judge(HOUR, filling, floor=1).is_flat


def test_one_peak_at_the_end_is_no_growth() -> None:
    values = noisy(10, 0, 1)
    values[-5:] = [500.0] * 5
    assert judge(HOUR, values, floor=8).is_flat


def test_what_shrinks_is_flat() -> None:
    assert judge(HOUR, noisy(100, -80, 5), floor=1).is_flat


def test_a_small_share_of_much_is_allowed() -> None:
    found = judge(HOUR, noisy(1000, 60, 0), floor=1)
    assert found.is_flat
    assert found.allowed == pytest.approx(0.05 * found.level)


def test_too_few_samples_say_nothing() -> None:
    with pytest.raises(ValueError, match="too short"):
        judge(HOUR[:7], [1.0] * 7, floor=1)
