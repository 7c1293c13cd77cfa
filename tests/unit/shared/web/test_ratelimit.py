"""Guessing is slowed down."""

import pytest

from shared.web.problems import Problem
from shared.web.ratelimit import RateLimit


def test_guessing_is_slowed_down_per_key_and_a_look_costs_nothing() -> None:
    now = 0.0
    limit = RateLimit(burst=3, seconds=10, now=lambda: now)
    for _ in range(3):
        limit.take("a")
    with pytest.raises(Problem) as raised:
        limit.take("a")
    assert raised.value.status_code == 429
    assert raised.value.headers == {"Retry-After": "10"}
    for _ in range(10):
        limit.check("b")
    with pytest.raises(Problem):
        limit.check("a")
    now = 10.0
    limit.check("a")
    limit.take("a")
    with pytest.raises(Problem):
        limit.take("a")
