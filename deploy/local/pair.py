"""PostgreSQL and Kafka together, or the servers that the environment names.

`python -m deploy.local.pair [--data DIR] -- CMD...` runs a command with both and returns its exit code.
"""

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

from deploy.local.errors import FolderInUseError, LocalError, UnusableSettingError
from deploy.local.kafka import Kafka
from deploy.local.postgres import Postgres
from deploy.local.process import spawn
from shared.kafka_access import KafkaAccess
from shared.settings import KafkaSettings

_GRACE_SECONDS = 20.0


class Pair:
    """Both servers, started side by side on `data_dir/postgres` and `data_dir/kafka`; a context manager.

    `database_url` and `bootstrap`, else the environment's `DATABASE_URL` and `KAFKA_BOOTSTRAP`, name
    servers that run already: such a server is neither started nor stopped, and `postgres` or `kafka` is
    None. `KAFKA_PORT` fixes the broker's port; raises UnusableSettingError if it is not a port. With
    `for_load` the broker is made for throughput, not for a quick start; with `durable=False` PostgreSQL does
    not wait for the disk.
    """

    def __init__(
        self,
        data_dir: Path,
        database_url: str | None = None,
        bootstrap: str | None = None,
        *,
        for_load: bool = False,
        durable: bool = True,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._database_url = database_url or os.environ.get("DATABASE_URL")
        self._access = KafkaAccess(bootstrap) if bootstrap else None
        if bootstrap is None and os.environ.get("KAFKA_BOOTSTRAP"):
            self._access = KafkaSettings().kafka
        port = _kafka_port()
        self.postgres = None if self._database_url else Postgres(self.data_dir / "postgres", durable=durable)
        self.kafka = None if self._access else Kafka(self.data_dir / "kafka", port=port, for_load=for_load)
        self._lock: IO[bytes] | None = None

    @property
    def database_url(self) -> str:
        """URL with the right to create databases and roles."""
        return self.postgres.url if self.postgres else str(self._database_url)

    @property
    def access(self) -> KafkaAccess:
        """The way to the broker, with all rights."""
        if self.kafka is None:
            assert self._access is not None  # noqa: S101
            return self._access
        return KafkaAccess(self.kafka.bootstrap)

    @property
    def environment(self) -> dict[str, str]:
        """The settings by which a child process finds both."""
        return {"DATABASE_URL": self.database_url, **self.access.environment()}

    def start(self) -> Self:
        """Starts our servers that do not run, side by side, from the main thread; returns when they answer.

        Raises FolderInUseError when another run has the folder, StartFailedError when a server does not
        come up (the other one is then stopped again), JarsRefusedError and JarsUnavailableError from the
        first fetch.
        """
        if (self.postgres or self.kafka) and not self._lock:
            self._take_folder()
        try:
            if self.kafka:
                self.kafka.launch()
            if self.postgres:
                self.postgres.start()
            if self.kafka:
                self.kafka.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stops what was started and keeps the data."""
        if self.kafka:
            self.kafka.request_stop()
        if self.postgres:
            self.postgres.stop()
        if self.kafka:
            self.kafka.stop()
        if self._lock:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _take_folder(self) -> None:
        """Takes a lock that the kernel releases however we end."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        lock = (self.data_dir / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise FolderInUseError(self.data_dir) from None
        self._lock = lock


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is deleted afterwards. Unlike with mkdtemp alone, PostgreSQL's account may enter it."""
    folder = Path(tempfile.mkdtemp(prefix="civicloom-pair-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _kafka_port() -> int | None:
    port = os.environ.get("KAFKA_PORT")
    if not port:
        return None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UnusableSettingError(f"KAFKA_PORT={port} is not a port: use one from 1 to 65535")
    return int(port)


class _TerminatedError(BaseException):
    """SIGTERM or SIGHUP was received: unwind, so that everything stops in order."""

    def __init__(self, number: int) -> None:
        self.number = number


def _terminate(number: int, _frame: object) -> None:
    raise _TerminatedError(number)


def run(data_dir: Path, command: list[str]) -> int:
    """Runs `command` in our terminal beside a pair; returns its exit code, 128 + n after signal n."""
    with Pair(data_dir) as pair:
        child = spawn(command[0], command, env=pair.environment, own_group=False)
        try:
            code = child.wait()
        except KeyboardInterrupt:  # the command got the signal too: let it finish by itself
            child.wait(_GRACE_SECONDS)
            raise
        finally:
            child.stop(grace=_GRACE_SECONDS)
    return code if code >= 0 else 128 - code


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.pair",
        description="Run a command with a PostgreSQL (DATABASE_URL) and a Kafka (KAFKA_BOOTSTRAP).",
    )
    parser.add_argument("--data", type=Path, help="folder to keep the data in; without it they are deleted")
    parser.add_argument("command", nargs="+", metavar="CMD", help="the command with its arguments, after --")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    try:
        if arguments.data:
            return run(arguments.data, arguments.command)
        with temporary_folder() as folder:
            return run(folder, arguments.command)
    except (LocalError, FileNotFoundError) as error:
        print(f"pair: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        return 128 + signal.SIGINT
    except _TerminatedError as terminated:
        return 128 + terminated.number


if __name__ == "__main__":
    sys.exit(main())
