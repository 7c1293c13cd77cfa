"""Two clocks. Business time decides deadlines, `time`, ids and timers and is injected; machine time does not.

With `CLOCK_FILE` set every process reads business time from that file, so that a driver
(`harness.driver`) can move a whole installation from due moment to due moment.
"""

import datetime as dt
from pathlib import Path
from typing import Protocol

UTC = dt.UTC


class Clock(Protocol):
    """Business time."""

    def now(self) -> dt.datetime:
        """The present moment of business time, aware, in UTC, to the microsecond."""
        ...

    def effective(self, append_ms: int) -> dt.datetime:
        """When a record reached us: its append time, expressed in business time."""
        ...


class SystemClock:
    """Business time is the machine's wall clock."""

    def now(self) -> dt.datetime:
        return machine_now()

    def effective(self, append_ms: int) -> dt.datetime:
        return dt.datetime.fromtimestamp(append_ms / 1000, UTC)


class FileClock:
    """Business time is the ISO 8601 moment in a file; it stands still until the file is replaced.

    The driver moves it only when nothing is unread, so the moment of reading a record is
    also the moment when it was appended.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._now = dt.datetime.min.replace(tzinfo=UTC)

    def now(self) -> dt.datetime:
        stat = self._path.stat()
        stamp = (stat.st_mtime_ns, stat.st_ino)
        if stamp != self._stamp:
            self._now = dt.datetime.fromisoformat(self._path.read_text().strip()).astimezone(UTC)
            self._stamp = stamp
        return self._now

    def effective(self, append_ms: int) -> dt.datetime:  # noqa: ARG002  (the file is the only clock)
        return self.now()


class FixedClock:
    """Business time for unit tests: moved by hand."""

    def __init__(self, moment: dt.datetime) -> None:
        self.moment = moment.astimezone(UTC)

    def now(self) -> dt.datetime:
        return self.moment

    def effective(self, append_ms: int) -> dt.datetime:
        return dt.datetime.fromtimestamp(append_ms / 1000, UTC)


def open_clock(clock_file: Path | None) -> Clock:
    """The clock that the settings name."""
    return FileClock(clock_file) if clock_file else SystemClock()


def machine_now() -> dt.datetime:
    """The machine's wall clock: for sessions, leases and logs, never for a business rule."""
    return dt.datetime.now(UTC)  # noqa: TID251  (the one place that may)
