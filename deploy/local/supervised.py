"""Programs that are started again when they end."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM

from deploy.local.process import Child, spawn

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_STABLE_SECONDS = 60.0
"""A program that ran that long is not in a crash loop: its next wait is short again."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run: its name for people, command, additional environment and log file."""

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str]
    log: Path


@dataclass(slots=True)
class SupervisedProgram:
    """Keeps one program running, with a growing pause between starts. Use it from the main thread."""

    program: Program
    restarts: int = 0
    _child: Child | None = None
    _started: float = 0.0
    _wait: float = _FIRST_WAIT
    _next_start: float = field(default=0.0)

    def start(self) -> None:
        """Starts it now."""
        program = self.program
        self._child = spawn(program.name, program.command, env=program.environment, log=program.log)
        self._started = time.monotonic()

    def restart_if_ended(self) -> str | None:
        """Starts it again once its pause is over; returns a sentence when it finds that it has ended."""
        now = time.monotonic()
        if self._child is None:
            if now >= self._next_start:
                self.restarts += 1
                self.start()
            return None
        code = self._child.returncode
        if code is None:
            return None
        self._child = None
        if now - self._started > _STABLE_SECONDS:
            self._wait = _FIRST_WAIT
        pause, self._wait = self._wait, min(self._wait * 2, _LONGEST_WAIT)
        self._next_start = now + pause
        ended = f"exit code {code}" if code >= 0 else f"signal {-code}"
        return f"{self.program.name} ended ({ended}); again in {pause:g} s; its log: {self.program.log}"

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def request_stop(self) -> None:
        """Asks it to end and returns; `stop` waits."""
        if self._child:
            self._child.send(SIGTERM)

    def stop(self, grace: float) -> None:
        """Asks it to end, waits up to `grace` seconds, then kills it."""
        if self._child:
            self._child.stop(grace=grace)
            self._child = None
