"""Programs and servers that are started again when they end, or could not be started."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM

from deploy.local.errors import LocalError
from deploy.local.process import Child, spawn
from deploy.local.server import Server

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
class _Pauses:
    """The growing pauses between two starts."""

    started: float = 0.0
    next_start: float = 0.0
    _wait: float = _FIRST_WAIT

    def begin(self) -> None:
        """A start; its time decides how long the next pause is."""
        self.started = time.monotonic()

    def end(self) -> float:
        """What was started has ended; the seconds until it may be started again."""
        now = time.monotonic()
        if now - self.started > _STABLE_SECONDS:
            self._wait = _FIRST_WAIT
        pause, self._wait = self._wait, min(self._wait * 2, _LONGEST_WAIT)
        self.next_start = now + pause
        return pause

    @property
    def are_over(self) -> bool:
        return time.monotonic() >= self.next_start


@dataclass(slots=True)
class SupervisedProgram:
    """Keeps one program running, with a growing pause between starts. Use it from the main thread."""

    program: Program
    restarts: int = 0
    _child: Child | None = None
    _pauses: _Pauses = field(default_factory=_Pauses)

    def start(self) -> None:
        """Starts it now. Raises OSError if that is not possible, such as without a byte for its log."""
        program = self.program
        self._pauses.begin()
        self._child = spawn(program.name, program.command, env=program.environment, log=program.log)

    def restart_if_ended(self) -> str | None:
        """Starts it again once its pause is over; returns a sentence when it finds that it has ended."""
        if self._child is None:
            return self._start_again() if self._pauses.are_over else None
        code = self._child.returncode
        if code is None:
            return None
        self._child = None
        pause = self._pauses.end()
        return (
            f"{self.program.name} ended ({_ending(code)}); again in {pause:g} s; its log: {self.program.log}"
        )

    def _start_again(self) -> str | None:
        self.restarts += 1
        try:
            self.start()
        except OSError as error:
            return f"{self.program.name} does not start ({error}); again in {self._pauses.end():g} s"
        return None

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


@dataclass(slots=True)
class SupervisedServer:
    """Keeps a server running that has run before, without waiting for its answer."""

    server: Server
    _pauses: _Pauses = field(default_factory=_Pauses)
    _was_running: bool = True

    def restart_if_ended(self) -> str | None:
        """Starts it again once its pause is over; returns a sentence when it has ended or does not start."""
        child = self.server.child
        if child is not None and child.returncode is None:
            return None
        name = self.server.NAME
        if self._was_running:
            self._was_running = False
            ending = (
                _ending(child.returncode) if child is not None and child.returncode is not None else "gone"
            )
            return f"{name} ended ({ending}); again in {self._pauses.end():g} s; its log: {self.server.log}"
        if not self._pauses.are_over:
            return None
        self._pauses.begin()
        try:
            self.server.launch()
        except (LocalError, OSError) as error:
            return f"{name} does not start ({error}); again in {self._pauses.end():g} s"
        self._was_running = True
        return None


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
