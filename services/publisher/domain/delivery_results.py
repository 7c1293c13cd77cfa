"""The result of one attempt to deliver, and when the next one is due."""

import datetime as dt
from dataclasses import dataclass

# The schedule of Standard Webhooks, also for mail: eight attempts over about 31 hours.
RETRIES = tuple(
    dt.timedelta(**length)
    for length in (
        {"seconds": 5},
        {"minutes": 5},
        {"minutes": 30},
        {"hours": 2},
        {"hours": 5},
        {"hours": 10},
        {"hours": 14},
    )
)
JITTER = 0.2
LONGEST_WAIT = dt.timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The other side has accepted it."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """It may work later. `retry_after` is what the other side asked for.

    `reached`: the other side answered, with a failure. Otherwise the fault may be ours: a network that is
    down, a master key that was replaced.
    """

    reason: str
    retry_after: dt.timedelta | None = None
    reached: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It can never work. `gone`: the address does not exist any longer, so nothing is sent there again."""

    reason: str
    gone: bool = False


DeliveryResult = Delivered | TryAgain | GiveUp


def wait_after(attempts: int, fraction: float, retry_after: dt.timedelta | None) -> dt.timedelta | None:
    """The wait after failure number `attempts` (from 1); None after the last.

    `fraction`, from 0 to 1, spreads the wait over +-20 %, so that what failed together does not return
    together. A longer `retry_after` is honoured up to a day.
    """
    if attempts > len(RETRIES):
        return None
    wait = RETRIES[attempts - 1] * (1 + JITTER * (2 * fraction - 1))
    return max(wait, min(retry_after, LONGEST_WAIT)) if retry_after else wait
