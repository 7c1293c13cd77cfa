"""Moves the business time of an installation (`CLOCK_FILE`) from one due timer to the next."""

import datetime as dt
from pathlib import Path

from harness.observation import Observation
from shared.clock import FileClock
from shared.errors import CivicloomError


class ClockGoesBack(CivicloomError):
    """Business time would go back; use `write_clock` to inject a jump back."""


def write_clock(clock_file: Path, moment: dt.datetime) -> None:
    """Sets business time for every process that reads the file, atomically."""
    draft = clock_file.with_name(f"{clock_file.name}.new")
    draft.write_text(moment.astimezone(dt.UTC).isoformat())
    draft.replace(clock_file)


class ClockDriver:
    """Drives the clock of an installation that was started with `clock_file`.

    Time stands still until the installation is at rest: outboxes empty, lag zero, no timer due. So each timer
    fires at its own moment, and a year passes in seconds.
    """

    def __init__(self, clock_file: Path, observation: Observation, *, settle_seconds: float = 60) -> None:
        self._clock_file = clock_file
        self._observation = observation
        self._settle_seconds = settle_seconds

    @property
    def now(self) -> dt.datetime:
        return FileClock(self._clock_file).now()

    async def advance_to(self, moment: dt.datetime) -> int:
        """Advances to `moment`, stopping at each due timer before it; returns the number of stops.

        Raises ClockGoesBack, and NotQuiet if the installation does not come to rest.
        """
        if moment < self.now:
            raise ClockGoesBack(f"it is {self.now}, later than {moment}")
        stops = 0
        await self._observation.settle(self._settle_seconds)
        while (due := await self._observation.next_due()) is not None and due <= moment:
            write_clock(self._clock_file, due)
            await self._observation.settle(self._settle_seconds)
            stops += 1
        write_clock(self._clock_file, moment)
        await self._observation.settle(self._settle_seconds)
        return stops

    async def advance(self, by: dt.timedelta) -> int:
        """Advances by a duration, as `advance_to` does."""
        return await self.advance_to(self.now + by)
