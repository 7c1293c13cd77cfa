"""How the writer tells the readers of its process that the log has grown."""

import asyncio


class LogSizeNotifier:
    """Wakes everybody who waits. One event that its readers clear would wake only the first of them."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def next(self) -> asyncio.Event:
        """The event of the next growth. Take it before looking at the log: then none is missed."""
        return self._next

    def notify(self) -> None:
        """The log has grown."""
        grown, self._next = self._next, asyncio.Event()
        grown.set()
