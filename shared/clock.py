"""Two clocks. Business time decides deadlines, event times, ids and timers, and is injected.

Machine time is for sessions, leases and logs. With `CLOCK_FILE` every process reads business time from that
file, so that `harness.driver` can move a whole installation from one due moment to the next.
"""

import datetime as dt
from pathlib import Path
from typing import Protocol

UTC = dt.UTC


class Clock(Protocol):
    """Business time."""

    def now(self) -> dt.datetime:
        """The current business time: aware, in UTC, in microseconds."""
        ...

    def effective(self, append_ms: int) -> dt.datetime:
        """Business time at which the broker appended a record; `append_ms` is the record's timestamp.

        Raises ValueError or OverflowError for a timestamp that no calendar holds.
        """
        ...


class SystemClock:
    """Business time is the wall clock of the machine."""

    def now(self) -> dt.datetime:
        return machine_now()

    def effective(self, append_ms: int) -> dt.datetime:
        return dt.datetime.fromtimestamp(append_ms / 1000, UTC)


class FileClock:
    """Business time is the ISO 8601 moment in a file; it stands still until the file is replaced.

    The driver moves it only when every record is read, so business time at the read of a record is also that
    of its append.
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


def open_clock(clock_file: Path | None) -> Clock:
    """The clock that the setting CLOCK_FILE asks for."""
    return FileClock(clock_file) if clock_file else SystemClock()


def machine_now() -> dt.datetime:
    """The wall clock of the machine: for sessions, leases and logs, never for a business rule."""
    return dt.datetime.now(UTC)  # noqa: TID251  (the one place that may)
