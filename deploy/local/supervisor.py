"""`make run`: one process that starts a city, keeps it running and stops all of it.

However it ends, no process is left: the kernel signals the children when we die (process.py).
"""

import fcntl
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from deploy.local.errors import FolderInUseError, LocalError, UnusableSettingError
from deploy.local.pair import Pair
from deploy.local.process import spawn, tail
from deploy.local.programs import Plan
from deploy.local.status import answers_inside, counts, get, sample_state, where_to_look
from deploy.local.supervised import Program, SupervisedProgram, SupervisedServer
from shared.policy.loader import load_pack
from shared.settings import REPOSITORY

_READY_SECONDS = 180.0
_HOPELESS = 4
"""After so many restarts during the start, a program will not come up by itself."""
_SAMPLE_SECONDS = 20.0
_STOP_SECONDS = 12.0
_TICK = 0.2
_NEEDED_BYTES = 32 * 1024 * 1024
"""With less than that free, a server that does not start may be waiting for room."""
_FULL_SECONDS = 10.0
_COUNT_SECONDS = 2.0


class PortTakenError(LocalError):
    """Another process listens on the port of the city."""

    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__(f"port {port} is taken; choose another one: make run PORT={port + 1}")


class NotReadyError(LocalError):
    """The city does not become ready; the message names the program and has the end of its log."""


class _StopRequestedError(BaseException):
    """SIGINT, SIGTERM or SIGHUP was received: unwind, so that everything stops in order."""


def _request_stop(_number: int, _frame: FrameType | None) -> None:
    # A second signal ends us at once; the kernel then signals the children.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    raise _StopRequestedError


class Supervisor:
    """Runs one city on `data_dir` until a signal comes. Use it from the main thread."""

    def __init__(self, port: int, data_dir: Path, pack: Path, *, sample: bool = True) -> None:
        """`pack` is a pack's folder. Raises PolicyError if it cannot be used."""
        self._port = port
        self._data_dir = data_dir.absolute()
        self._pack = load_pack(pack)
        self._policies = pack.parent
        self._sample = sample
        self._servers: list[SupervisedServer] = []
        self._supervised: list[SupervisedProgram] = []

    def run(self) -> None:
        """Returns after a signal, when everything is stopped; the data are kept.

        Raises PortTakenError and FolderInUseError before anything is started, and StartFailedError,
        NotReadyError or LocalError with the reason when the city does not come up.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _request_stop)
        try:
            with self._folder():
                _must_be_free(self._port)
                self._run()
        except _StopRequestedError:
            _say("stopped; the data is kept, and `make run` continues with it")

    def _run(self) -> None:
        began = time.monotonic()
        _say(f"data is in {self._data_dir}; starting PostgreSQL and Kafka")
        pair = Pair(self._data_dir)
        try:
            self._start_pair(pair)
            plan = Plan(
                self._port, self._data_dir, self._pack, pair.environment, smtp_url=os.environ.get("SMTP_URL")
            )
            plan.write_settings()
            self._prepare(plan)
            _say("starting the services")
            self._start(plan.city())
            self._wait_until_ready(plan)
            if self._sample:
                self._start(plan.sample())
                self._wait_for_the_first_case(plan)
            _say(f"ready after {time.monotonic() - began:.0f} s\n{where_to_look(plan)}")
            self._watch(plan)
        except _StopRequestedError:
            _say("stopping (press Ctrl-C again to stop at once)")
            raise
        finally:
            self._stop()
            pair.stop()

    def _start_pair(self, pair: Pair) -> None:
        """Starts PostgreSQL and Kafka, and tries again for as long as the disk is full."""
        while True:
            try:
                pair.start()
                break
            except (LocalError, OSError) as error:
                if shutil.disk_usage(self._data_dir).free >= _NEEDED_BYTES:
                    raise
                _say(f"the disk of {self._data_dir} is full; trying again in {_FULL_SECONDS:.0f} s: {error}")
                time.sleep(_FULL_SECONDS)
        self._servers = [SupervisedServer(one) for one in (pair.postgres, pair.kafka) if one is not None]

    @contextmanager
    def _folder(self) -> Iterator[None]:
        """Locks the folder: one city per folder, also when other servers are used."""
        try:
            (self._data_dir / "logs").mkdir(parents=True, exist_ok=True)
            opened = (self._data_dir / "run.lock").open("ab")
        except OSError as error:
            raise UnusableSettingError(
                f"the data folder {self._data_dir} cannot be used ({error.strerror}): name another one"
            ) from error
        with opened as lock:
            _take(lock, self._data_dir)
            yield

    def _prepare(self, plan: Plan) -> None:
        """Topics and tables, by the same commands that an operator uses."""
        commands = (["topics", "apply", "--policies", str(self._policies)], ["migrate"])
        log = self._data_dir / "logs" / "prepare.log"
        offset = log.stat().st_size if log.exists() else 0
        running = [  # side by side: one mostly waits for Kafka, the other for PostgreSQL
            spawn(
                f"civicloom {command[0]}",
                [sys.executable, "-m", "services.cli", *command],
                env=plan.settings,
                cwd=REPOSITORY,
                log=log,
            )
            for command in commands
        ]
        failed = [child.name for child in running if child.wait() != 0]
        if failed:
            raise LocalError(f"{' and '.join(failed)} failed; {log} ends:\n{tail(log, offset)}")

    def _start(self, programs: Sequence[Program]) -> None:
        for program in programs:
            supervised = SupervisedProgram(program)
            self._supervised.append(supervised)
            supervised.start()

    def _restart_what_ended(self) -> None:
        tended: list[SupervisedServer | SupervisedProgram] = [*self._servers, *self._supervised]
        for supervised in tended:
            if sentence := supervised.restart_if_ended():
                _say(sentence)

    def _wait_until_ready(self, plan: Plan) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while get(f"{plan.address}/readyz").status != 200:
            for supervised in self._supervised:
                if (
                    supervised.restarts >= _HOPELESS
                ):  # they wait for each other, so this is no matter of order
                    program = supervised.program
                    raise NotReadyError(
                        f"{program.name} does not start; {program.log} ends:\n{tail(program.log)}"
                    )
            if time.monotonic() > deadline:
                said = "\n".join(answer.body for answer in answers_inside(plan))
                raise NotReadyError(f"not ready after {_READY_SECONDS:.0f} s; /readyz says:\n{said}")
            self._restart_what_ended()
            time.sleep(_TICK)

    def _wait_for_the_first_case(self, plan: Plan) -> None:
        deadline = time.monotonic() + _SAMPLE_SECONDS
        while not sample_state(plan.sample_folder).get("show") and time.monotonic() < deadline:
            self._restart_what_ended()
            time.sleep(_TICK)

    def _watch(self, plan: Plan) -> None:
        """Until a signal: restarts what has ended, PostgreSQL and Kafka too, and prints the counts."""
        next_count = 0.0
        while True:
            self._restart_what_ended()
            if sys.stdout.isatty() and time.monotonic() >= next_count:
                line = counts(plan, sum(supervised.restarts for supervised in self._supervised))
                print(f"\r\x1b[2K{line}", end="", flush=True)
                next_count = time.monotonic() + _COUNT_SECONDS
            time.sleep(_TICK)

    def _stop(self) -> None:
        """Sends SIGTERM in reverse order of the start; all have the same time to end."""
        for supervised in reversed(self._supervised):
            supervised.request_stop()
        deadline = time.monotonic() + _STOP_SECONDS
        for supervised in reversed(self._supervised):
            supervised.stop(max(0.1, deadline - time.monotonic()))
        self._supervised.clear()


def _take(lock: IO[bytes], folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FolderInUseError(folder) from None


def _must_be_free(port: int) -> None:
    with socket.socket() as probe:
        # Connections of a server that has just ended do not stop the next one from listening, nor this probe.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise PortTakenError(port) from None


def _say(text: str) -> None:
    start = "\r\x1b[2K" if sys.stdout.isatty() else ""
    print(f"{start}{text}", flush=True)
