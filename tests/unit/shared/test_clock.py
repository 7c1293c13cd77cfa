"""Business time and machine time."""

import datetime as dt
from pathlib import Path

import pytest

from shared.clock import FileClock, SystemClock, machine_now, open_clock

MOMENT = "2026-11-24T16:00:00+08:00"


def test_without_a_file_business_time_is_the_machines() -> None:
    clock = open_clock(None)
    assert isinstance(clock, SystemClock)
    assert machine_now() <= clock.now() <= machine_now()
    assert clock.effective(1_500) == dt.datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=dt.UTC)


def test_the_time_of_a_file_stands_still_until_the_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    path.write_text(f"{MOMENT}\n")
    clock = open_clock(path)
    assert isinstance(clock, FileClock)
    assert clock.now() == dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)
    assert clock.now().tzinfo is dt.UTC
    assert clock.effective(0) == clock.now()
    newer = tmp_path / "newer"
    newer.write_text("2026-11-25T00:00:00Z")
    newer.replace(path)
    assert clock.now() == dt.datetime(2026, 11, 25, tzinfo=dt.UTC)


def test_a_clock_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_clock(tmp_path / "missing").now()
