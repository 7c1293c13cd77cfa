"""A limit with little memory refuses all that one with endless memory refuses once a bucket is empty."""

from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from shared.web import ratelimit
from shared.web.problems import Problem
from shared.web.ratelimit import RateLimit

BURST, SECONDS, ROOM = 3, 10, 4
# Whole seconds: the order of float additions must not decide a case.
steps = st.lists(
    st.tuples(st.integers(0, 3 * SECONDS) | st.just(0), st.integers(0, 12).map(str)), max_size=120
)


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Endless:
    """Token buckets by the book, none ever forgotten."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}

    def tokens(self, key: str, now: float) -> float:
        tokens, then = self._buckets.get(key, (float(BURST), now))
        return min(BURST, tokens + (now - then) / SECONDS)

    def take(self, key: str, now: float) -> bool:
        tokens = self.tokens(key, now)
        if tokens < 1 - 1e-9:
            return False
        self._buckets[key] = (tokens - 1, now)
        return True


def taken(limit: RateLimit, key: str) -> bool:
    try:
        limit.take(key)
    except Problem:
        return False
    return True


@given(steps)
def test_with_room_for_all_it_is_a_token_bucket(moves: list[tuple[int, str]]) -> None:
    time, endless = Time(), Endless()
    limit = RateLimit(BURST, SECONDS, time)
    for wait, key in moves:
        time.now += wait
        assert taken(limit, key) == endless.take(key, time.now)


@given(st.integers(1, ROOM), steps)
def test_an_empty_bucket_is_never_forgotten(victims: int, moves: list[tuple[int, str]]) -> None:
    time = Time()
    limit = RateLimit(BURST, SECONDS, time)
    with mock.patch.object(ratelimit, "_MOST_KEYS", ROOM):
        for number in range(victims):
            assert all(taken(limit, f"victim {number}") for _ in range(BURST))
        for wait, key in moves:
            time.now = min(time.now + wait, SECONDS - 1)
            taken(limit, key)
            assert not any(taken(limit, f"victim {number}") for number in range(victims))


@given(steps)
def test_a_refused_key_stays_refused_until_the_time_that_the_answer_names(
    moves: list[tuple[int, str]],
) -> None:
    """Unless the bucket was that of all newcomers: those may get one of their own meanwhile."""
    time = Time()
    limit = RateLimit(BURST, SECONDS, time)
    until: dict[str, float] = {}
    with mock.patch.object(ratelimit, "_MOST_KEYS", ROOM):
        for wait, key in moves:
            time.now += wait
            own = key in limit._full_at
            try:
                limit.take(key)
            except Problem as problem:
                assert problem.headers
                if own:
                    until[key] = time.now + int(problem.headers["Retry-After"])
            else:
                assert time.now >= until.pop(key, 0)
            assert len(limit._full_at) <= ROOM
