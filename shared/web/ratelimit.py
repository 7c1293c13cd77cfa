"""Rate limit against guessing secrets: a token bucket per key, in the memory of the process.

Each replica of a service counts by itself, so the limit of an installation is this one times the number of
replicas. That is enough against guessing 80 random bits.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from shared.web.problems import Problem

_MOST_KEYS = 100_000


class RateLimit:
    """A token bucket per key.

    Parameters
    ----------
    burst
        The size of a bucket: takes that are possible at once.
    seconds
        The time in which one token is added.
    now
        A monotonic clock in seconds.
    """

    def __init__(self, burst: int, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._seconds = seconds
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, key: str) -> None:
        """Raises Problem 429 with Retry-After (seconds) if there is no token; takes none."""
        self._at_least_one(key, self._now())

    def take(self, key: str) -> None:
        """Takes one token. Raises Problem 429 with Retry-After (seconds) if there is none."""
        now = self._now()
        self._keep(key, self._at_least_one(key, now) - 1, now)

    def _at_least_one(self, key: str, now: float) -> float:
        tokens = self._tokens(key, now)
        if tokens < 1:
            wait = max(1, math.ceil((1 - tokens) * self._seconds))
            raise Problem(
                429,
                "too-many-attempts",
                "Too many attempts",
                f"Try again in {wait} seconds.",
                headers={"Retry-After": str(wait)},
            )
        return tokens

    def _tokens(self, key: str, now: float) -> float:
        tokens, then = self._buckets.get(key, (float(self._burst), now))
        return min(self._burst, tokens + (now - then) / self._seconds)

    def _keep(self, key: str, tokens: float, now: float) -> None:
        self._buckets[key] = (tokens, now)
        self._buckets.move_to_end(key)
        while len(self._buckets) > _MOST_KEYS:
            self._buckets.popitem(last=False)  # the least recently used
