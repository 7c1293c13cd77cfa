"""Ends the process when its event loop stands still, so that its locks are freed and it is started again.

A process that hangs keeps its sessions, locks and partitions, and looks alive to everybody.
"""

import asyncio
import contextlib
import faulthandler
import os
import threading
import time

import orjson

EXIT_CODE = 70  # EX_SOFTWARE
_STDERR = 2
_STEP_SECONDS = 1.0


class Watchdog:
    """Watches the loop that runs it for as long as the body of `with`.

    It counts steps of a thread of its own in which the loop did not turn, not the time: after a SIGSTOP, or
    on a machine that was suspended, both have stood still and nothing is wrong. All that it needs is made
    beforehand, since a process that has no memory left must be ended as well.

    Parameters
    ----------
    service
        Its name in the log line.
    steps
        After so many steps of one second without a turn of the loop the process ends, with the stacks of all
        threads and a line in the log, and with exit code 70.
    """

    def __init__(self, service: str, steps: int, *, step_seconds: float = _STEP_SECONDS) -> None:
        self._steps = steps
        self._step_seconds = step_seconds
        self._turned = False
        self._ends = False
        line = {"event": "the event loop stands still: the process ends", "service": service}
        self._line = orjson.dumps(line | {"level": "critical", "module": __name__}) + b"\n"
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._turning: asyncio.Task[None] | None = None

    def __enter__(self) -> "Watchdog":
        self._turning = asyncio.get_running_loop().create_task(self._turn())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        if self._turning is not None:
            self._turning.cancel()

    async def _turn(self) -> None:
        while True:
            self._turned = True
            await asyncio.sleep(self._step_seconds / 2)

    def _watch(self) -> None:
        """Small numbers and constants only: nothing here allocates."""
        still = 0
        while not self._ends:
            with contextlib.suppress(MemoryError):
                time.sleep(self._step_seconds)
            still = 0 if self._turned else still + 1
            self._turned = False
            if still >= self._steps:
                self._end()

    def _end(self) -> None:
        try:
            os.write(_STDERR, self._line)
            faulthandler.dump_traceback(_STDERR, all_threads=True)
        finally:
            os._exit(EXIT_CODE)
