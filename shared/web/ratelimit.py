"""Rate limit, for instance against guessing secrets: a token bucket per key, in the memory of the process.

Each replica of a service counts by itself, so the limit of an installation is this one times the number of
replicas. That is enough against guessing 80 random bits.

Secrets are looked at first, and only a wrong one takes a token: whatever others behind the same address have
tried, the right one is right. So a limit bounds what wrong ones cost; against guessing, secrets are long.
"""

import heapq
import math
import time
from collections.abc import Callable

from shared.web.problems import Problem

WRONG_SECRETS_PER_CLIENT = (20, 15.0)
"""Of one client: an office or a school may share one address."""
_MOST_KEYS = 100_000


class RateLimit:
    """A token bucket per key; at most 100,000 buckets, so keys may come from strangers.

    A bucket is kept as the moment at which it is full again. When there is no room for a new one, the bucket
    that is nearest to full is forgotten, which gives away least; but never one without a token, so nobody who
    is refused gets in by filling the table with other keys. If all are without a token, new keys share one
    bucket until one of the others has a token again.

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
        self._size = burst * seconds
        self._seconds = seconds
        self._now = now
        self._full_at: dict[str, float] = {}
        self._shared_full_at = 0.0
        # A heap of the buckets, in which each stands once for each take: only its last entry counts.
        self._queue: list[tuple[float, int, str]] = []
        self._takes = 0

    def take(self, key: str) -> None:
        """Takes one token. Raises Problem 429 with Retry-After (seconds) if there is none."""
        now = self._now()
        own = key in self._full_at or self._has_room(now)
        full_at = max(self._full_at.get(key, now) if own else self._shared_full_at, now) + self._seconds
        if full_at > now + self._size:
            raise _too_many(max(1, math.ceil(full_at - now - self._size)))
        if own:
            self._keep(key, full_at)
        else:
            self._shared_full_at = full_at

    def _has_room(self, now: float) -> bool:
        """Whether there is room for one more bucket; forgets another for it if it has to and may."""
        while len(self._full_at) >= _MOST_KEYS:
            full_at, _, nearest = self._queue[0]
            current = self._full_at.get(nearest) == full_at
            if current and full_at + self._seconds > now + self._size:
                return False
            heapq.heappop(self._queue)
            if current:
                del self._full_at[nearest]
        return True

    def _keep(self, key: str, full_at: float) -> None:
        self._full_at[key] = full_at
        self._takes += 1  # every entry has another number, so the heap never compares keys
        heapq.heappush(self._queue, (full_at, self._takes, key))
        if len(self._queue) > 2 * len(self._full_at) + 1000:
            buckets = enumerate(self._full_at.items())
            self._queue = [(moment, -number, name) for number, (name, moment) in buckets]
            heapq.heapify(self._queue)


def _too_many(wait: int) -> Problem:
    return Problem(
        429,
        "too-many-attempts",
        "Too many attempts",
        f"Try again in {wait} seconds.",
        headers={"Retry-After": str(wait)},
    )
