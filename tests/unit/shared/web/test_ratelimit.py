"""Guessing is slowed down."""

import pytest

from shared.web import ratelimit
from shared.web.problems import Problem
from shared.web.ratelimit import RateLimit


def refused(limit: RateLimit, key: str) -> int:
    """Seconds until the key may come again; 0 if it may take a token now, and has."""
    try:
        limit.take(key)
    except Problem as problem:
        assert problem.status_code == 429
        assert problem.headers
        return int(problem.headers["Retry-After"])
    return 0


def test_guessing_is_slowed_down_per_key() -> None:
    now = 0.0
    limit = RateLimit(burst=3, seconds=10, now=lambda: now)
    assert [refused(limit, "a") for _ in range(5)] == [0, 0, 0, 10, 10]
    assert refused(limit, "b") == 0
    now = 9.5
    assert refused(limit, "a") == 1
    now = 10.0
    assert [refused(limit, "a") for _ in range(2)] == [0, 10]


def test_a_bucket_fills_up_and_no_further() -> None:
    now = 0.0
    limit = RateLimit(burst=2, seconds=10, now=lambda: now)
    assert [refused(limit, "a") for _ in range(3)] == [0, 0, 10]
    now = 1000.0
    assert [refused(limit, "a") for _ in range(3)] == [0, 0, 10]


def test_many_other_keys_do_not_make_an_exhausted_one_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "_MOST_KEYS", 100)
    now = 0.0
    limit = RateLimit(burst=3, seconds=10, now=lambda: now)
    for _ in range(3):
        limit.take("victim")
    assert all(refused(limit, f"key {number}") == 0 for number in range(10_000))
    assert refused(limit, "victim") == 10


def test_in_a_table_of_exhausted_ones_all_new_keys_share_one_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "_MOST_KEYS", 100)
    now = 0.0
    limit = RateLimit(burst=2, seconds=10, now=lambda: now)
    for number in range(100):
        assert [refused(limit, f"old {number}") for _ in range(3)] == [0, 0, 10]
    assert [refused(limit, f"new {number}") for number in range(4)] == [0, 0, 10, 10]
    assert {refused(limit, f"old {number}") for number in range(100)} == {10}
    now = 10.0  # the old ones have a token each: one of them makes room
    assert [refused(limit, "new 9") for _ in range(3)] == [0, 0, 10]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "_MOST_KEYS", 100)
    now = 0.0
    limit = RateLimit(burst=5, seconds=1, now=lambda: now)
    for number in range(20_000):
        now += 0.01
        refused(limit, f"key {number % 1500}")
        refused(limit, f"key {number % 7}")
    assert len(limit._full_at) <= 100
    assert len(limit._queue) <= 2 * 100 + 1001
