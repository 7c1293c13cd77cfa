"""Child processes that never outlive us: own process group, signal on our death, unprivileged account."""

import ctypes
import os
import pwd
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import IO

_LIBC = ctypes.CDLL(None, use_errno=True)  # looked up here: between fork and exec nothing may be loaded
_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a child runs as."""

    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """`nobody` if we are root, since PostgreSQL refuses to run as root; else None, for our own account."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


@dataclass(slots=True)
class Child:
    """A running child. It stops with `stop`, or by itself when we die."""

    name: str
    _popen: subprocess.Popen[bytes]
    _own_group: bool

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs, else its exit code, or minus the signal that ended it."""
        return self._popen.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end; returns the exit code. Raises `subprocess.TimeoutExpired` after `timeout` s."""
        return self._popen.wait(timeout)

    def send(self, number: Signals) -> None:
        """Sends a signal to the child alone; nothing happens when it has ended."""
        self._popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to the child and what it started in its group, then reaps it."""
        if self._popen.poll() is None:
            if self._own_group:
                os.killpg(self.pid, SIGKILL)
            else:
                self._popen.kill()
        self._popen.wait()

    def stop(self, number: Signals = SIGTERM, grace: float = 15.0) -> int:
        """Asks with a signal, waits `grace` seconds, then kills. Returns the exit code."""
        self.send(number)
        try:
            return self._popen.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._popen.wait()


def _dies_with(parent: int, death_signal: Signals) -> Callable[[], None]:
    def in_child() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl, so no signal will come
            os._exit(1)

    return in_child


def spawn(
    name: str,
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | IO[bytes] | None = None,
    account: Account | None = None,
    death_signal: Signals = SIGTERM,
    own_group: bool = True,
) -> Child:
    """Starts a child that gets `death_signal` from the kernel when this process dies, whatever way it dies.

    `env` is added to our environment. `log` takes stdout and stderr (a path is appended to; None keeps ours).
    `own_group=False` leaves it in our process group, for a command that shares the terminal.

    Must be called from the main thread, else RuntimeError: the kernel binds the death signal to the
    *thread* that spawned, so a child of a worker thread would be ended as soon as that thread is. Not on
    Linux: OSError.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            f"{name} must be started from the main thread: children end with the thread that made them"
        )
    if isinstance(log, Path):
        with log.open("ab") as opened:
            return spawn(
                name,
                argv,
                env=env,
                cwd=cwd,
                log=opened,
                account=account,
                death_signal=death_signal,
                own_group=own_group,
            )
    # The user is changed before preexec_fn runs (CPython's order), and must be: changing it clears the
    # death signal.
    popen = subprocess.Popen(
        [str(part) for part in argv],
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdin=None if not own_group else subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        process_group=0 if own_group else None,
        preexec_fn=_dies_with(os.getpid(), death_signal),  # noqa: PLW1509 - it only makes two system calls
    )
    return Child(name, popen, own_group)


def poll_until(condition: Callable[[], bool], timeout: float) -> bool:
    """True as soon as `condition()` is, False when it was not within `timeout` seconds of machine time."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def tail(log: Path, offset: int = 0, lines: int = 20) -> str:
    """The last lines that a log has from byte `offset` on."""
    if not log.exists():
        return ""
    with log.open("rb") as opened:
        opened.seek(offset)
        return "\n".join(opened.read().decode(errors="replace").splitlines()[-lines:])
