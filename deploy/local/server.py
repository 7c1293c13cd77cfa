"""The common part of our own Kafka and PostgreSQL: one folder, one port, a start that waits for readiness."""

import time
from abc import ABC, abstractmethod
from pathlib import Path
from signal import SIGTERM, Signals
from typing import ClassVar, Self

from deploy.local.errors import LocalError, StartFailedError
from deploy.local.ports import free_port
from deploy.local.process import Child, poll_until, tail

_RETRY_SECONDS = 0.5
_PORT_TAKEN = "Address already in use"
_PORT_SECONDS = 10.0
"""How long the previous owner of a fixed port may need to release it."""
_LINES = 40


class Server(ABC):
    """A server on one folder, on 127.0.0.1.

    Use it from the main thread. `port=None` takes a free one and keeps it over restarts of this object.
    """

    NAME: ClassVar[str]
    START_SECONDS: ClassVar[float]
    STOP_SIGNAL: ClassVar[Signals] = SIGTERM
    STOP_SECONDS: ClassVar[float]
    STALE: ClassVar[tuple[str, ...]]
    """Messages in its log that mean that the previous server on the folder still runs."""

    def __init__(self, data_dir: Path, port: int | None, log: str) -> None:
        self.data_dir = data_dir.absolute()
        self.log = self.data_dir / log
        self.child: Child | None = None
        self._port = port
        self._port_is_ours = port is None
        self._log_offset = 0  # where the present child's begins

    @property
    def port(self) -> int:
        if self._port is None:
            raise LocalError(f"{self.NAME} has no port before its first start")
        return self._port

    def start(self) -> Self:
        """Starts it and returns when it answers. Raises StartFailedError with the end of its log.

        It waits for a previous server on the folder to end. A free port that another process took meanwhile
        is replaced, a fixed one is not.
        """
        deadline = time.monotonic() + self.START_SECONDS
        while not self._started(deadline):
            time.sleep(_RETRY_SECONDS)
        self._port_is_ours = False  # from now on clients know it
        return self

    def launch(self) -> None:
        """Starts the process unless it runs, and does not wait for it; the first start makes its data.

        Raises LocalError or OSError.
        """
        if not self._running():
            self._prepare()
            self._spawn()

    def stop(self) -> None:
        """Orderly shutdown; returns when no process is left."""
        if self.child:
            self.child.stop(self.STOP_SIGNAL, self.STOP_SECONDS)
            self.child = None

    def kill(self) -> None:
        """SIGKILL, as in a crash; its own children notice and end within about a second."""
        if self.child:
            self.child.kill()
            self.child = None

    def restart(self) -> None:
        """Orderly shutdown and start, on the same port."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def _spawn(self) -> None:
        """Starts the child on `self.port`; the first start creates its data."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it serves."""

    def _prepare(self) -> None:
        """Called before a child is started."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._log_offset = self.log.stat().st_size if self.log.exists() else 0
        if self._port is None:
            self._port = free_port()

    def _running(self) -> bool:
        return self.child is not None and self.child.returncode is None

    def _started(self, deadline: float) -> bool:
        """One attempt; False if another may succeed."""
        self.launch()
        left = deadline - time.monotonic()
        if poll_until(lambda: not self._running() or self._answers(), left) and self._running():
            return True
        code = self.child.returncode if self.child else None
        self.kill()
        said = tail(self.log, self._log_offset, _LINES)
        if code is None:
            raise StartFailedError(self.NAME, f"no answer in {self.START_SECONDS:.0f} s", self.log, said)
        stale, taken = any(sign in said for sign in self.STALE), _PORT_TAKEN in said
        if time.monotonic() > deadline or not (stale or taken):
            raise StartFailedError(self.NAME, f"exit code {code}", self.log, said)
        if taken and self._port_is_ours:
            self._port = None
        elif taken and not stale and time.monotonic() > deadline - self.START_SECONDS + _PORT_SECONDS:
            raise StartFailedError(self.NAME, f"port {self._port} is taken", self.log, said)
        return False
