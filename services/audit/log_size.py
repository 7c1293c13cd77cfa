"""Notifies the readers of a process when its writer has appended."""

import asyncio


class LogSizeNotifier:
    """Wakes every waiter. With one event that its readers clear, only the first of them would wake."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def next(self) -> asyncio.Event:
        """The event of the next append. Take it before reading the log, so that none is missed."""
        return self._next

    def notify(self) -> None:
        """The log has grown."""
        grown, self._next = self._next, asyncio.Event()
        grown.set()
