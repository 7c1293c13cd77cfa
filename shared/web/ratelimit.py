"""Slows down whoever guesses: a token bucket per key, in the memory of this process.

Several copies of a service each count for themselves, so the limit of an installation is at most the number
of copies times this one: enough against guessing 80 random bits.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from shared.web.problems import Problem

_MOST_KEYS = 100_000


class RateLimit:
    """At most `burst` takes at once per key, and one more every `seconds`."""

    def __init__(self, burst: int, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._seconds = seconds
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, key: str) -> None:
        """Raises Problem 429 with Retry-After (seconds) if there is no token to take; takes none."""
        self._at_least_one(key, self._now())

    def take(self, key: str) -> None:
        """Takes one token. Raises Problem 429 with Retry-After (seconds) when there is none."""
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
            self._buckets.popitem(last=False)  # the one that has been quiet longest
