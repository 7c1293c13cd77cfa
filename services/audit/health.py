"""What `/readyz` and the gauge say of the log's writer: working only once it has proven to be."""

import time

from services.audit.log.metrics import LOG_WRITER

# A broker or a session that is away for less is no news.
_PATIENCE_SECONDS = 30.0
# Seconds of waiting for the lock. A copy whose log is broken holds it for moments: one that found it broken
# too, and waits for longer, waits for a copy that works.
_WAITS_BEFORE_STANDBY = 5


class WriterHealth:
    """The state of one process's writer. `trouble` gives, by part, the reason why it does not work."""

    def __init__(self) -> None:
        self._broken: str | None = "the writer has not read its topics yet"
        self._waits: str | None = None
        self._unpublished: str | None = None
        self._good_at = time.monotonic()
        self._waited_for_lock = _WAITS_BEFORE_STANDBY

    @property
    def trouble(self) -> dict[str, str]:
        """By part, the reason why it does not work; empty if it works, or another process does."""
        reasons = {"log": self._reason(), "log files": self._unpublished}
        return {part: reason for part, reason in reasons.items() if reason is not None}

    def _reason(self) -> str | None:
        if self._broken is None and time.monotonic() - self._good_at > _PATIENCE_SECONDS:
            return self._waits
        return self._broken

    def good(self) -> None:
        """A batch was committed, or there was nothing to read: this process writes the log."""
        self._broken = self._waits = None
        self._good_at = time.monotonic()
        self._waited_for_lock = 0
        LOG_WRITER.set(1)

    def stopped(self) -> None:
        """This process does not write now."""
        LOG_WRITER.set(0)

    def broken(self, reason: str) -> None:
        """The log must not be written to. Stays until `good`, or until another process has the log."""
        self._broken = reason
        self._waited_for_lock = 0

    def waits(self, reason: str) -> None:
        """Something that passes by itself; shown once it has lasted."""
        self._waits = reason

    def waits_for_lock(self, refused: str | None) -> None:
        """Another process has the log, which is refused for this reason or not, and reports its trouble."""
        self._waited_for_lock += 1
        if refused is not None:
            self._broken = refused
        elif self._waited_for_lock >= _WAITS_BEFORE_STANDBY:
            self._broken = self._waits = self._unpublished = None
            self._good_at = time.monotonic()

    def unpublished(self, reason: str | None) -> None:
        """Why what is committed cannot be published; None once it is."""
        self._unpublished = reason
