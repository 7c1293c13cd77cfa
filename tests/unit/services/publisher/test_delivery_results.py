"""When the next attempt is due."""

import datetime as dt

import pytest

from services.publisher.domain.delivery_results import LONGEST_WAIT, RETRIES, wait_after

MIDDLE = 0.5


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 5), (2, 300), (3, 1800), (4, 7200), (5, 18000), (6, 36000), (7, 50400)]
)
def test_waits_grow_with_the_attempts(attempts: int, seconds: int) -> None:
    assert wait_after(attempts, MIDDLE, None) == dt.timedelta(seconds=seconds)


def test_after_the_eighth_attempt_there_is_no_other() -> None:
    assert wait_after(len(RETRIES), MIDDLE, None) is not None
    assert wait_after(len(RETRIES) + 1, MIDDLE, None) is None
    assert wait_after(len(RETRIES) + 1, MIDDLE, dt.timedelta(seconds=1)) is None


def test_jitter_spreads_a_wait_by_a_fifth_to_either_side() -> None:
    assert wait_after(2, 0, None) == dt.timedelta(seconds=240)
    assert wait_after(2, 1, None) == dt.timedelta(seconds=360)


def test_a_longer_retry_after_is_honoured_up_to_a_day_and_a_shorter_one_does_not_hurry_us() -> None:
    assert wait_after(1, MIDDLE, dt.timedelta(hours=3)) == dt.timedelta(hours=3)
    assert wait_after(1, MIDDLE, dt.timedelta(days=30)) == LONGEST_WAIT == dt.timedelta(days=1)
    assert wait_after(2, MIDDLE, dt.timedelta(seconds=1)) == RETRIES[1]
