"""What the writer remembers of subjects stays within the memory that it is given."""

import datetime as dt
import gc
import tracemalloc

import pytest

from services.audit.log.recent_subjects import RecentSubjects
from services.audit.log.subjects import Subject, new_key
from shared.ids import new_id

NOW = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)
CAPACITY = 1024 * 1024
MORE_THAN_FIT = 1500


def subject(number: int, sources: int) -> Subject:
    made = Subject(number, new_key())
    for one in SOURCES[:sources]:
        made.last[one] = 10**10 + number
        made.pseudonym(one)
    return made


SOURCES = [f"/services/routing/departments/unit-{number}" for number in range(8)]


@pytest.mark.parametrize("sources", [0, 1, 4, 8])
def test_the_memory_that_subjects_take_is_bounded_by_what_they_really_cost(sources: int) -> None:
    recent = RecentSubjects(CAPACITY)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(MORE_THAN_FIT):
            recent.keep({new_id(NOW): subject(100_000 + number, sources)})
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(recent) < MORE_THAN_FIT
    assert 0.3 * CAPACITY < used < 1.1 * CAPACITY


def test_the_least_recently_used_go_first_and_what_has_grown_counts() -> None:
    recent = RecentSubjects(4000)
    first, second, third = subject(1, 0), subject(2, 0), subject(3, 0)
    recent.keep({"first": first, "second": second})
    assert recent.take("first") is first
    recent.keep({"first": first, "third": third})
    assert len(recent) == 3
    third.last.update(dict.fromkeys(SOURCES, 1))
    recent.keep({"third": third})
    assert [recent.take(name) for name in ("second", "first", "third")] == [None, first, third]
