"""Runs tests over a mutant in a forked process; nothing is written to the working tree."""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from checks.files import REPO
from checks.mutants.mutations import Mutant

OURS = ("services", "shared", "harness", "deploy")
_MEMORY = 6 << 30
_BROKEN = 70
_OPTIONS = (
    *("-q", "-x", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist"),
    *("--hypothesis-profile=mutants", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
    "--timeout=0",  # as with `_idle`: a test that waits for a core notices nothing
)


class JudgeFails(Exception):
    """The tests fail without any change: nothing can be said about a mutant."""


class Baseline(NamedTuple):
    """The tests over the code as it is: their CPU seconds, and our modules that they import."""

    seconds: float
    modules: tuple[str, ...]


def baseline(tests: Sequence[str]) -> Baseline:
    """Runs the tests without a change. Raises JudgeFails."""
    reading, writing = os.pipe()

    def run() -> int:
        code = _pytest(tests)
        names = [name for name in sys.modules if name.partition(".")[0] in OURS]
        os.write(writing, "\n".join([str(time.process_time()), *names]).encode())
        return code

    child = _fork(run)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        seconds, *names = pipe.read().split("\n")
    if _wait(child, 600) != 0:
        raise JudgeFails(f"these tests fail without any change: {' '.join(tests)}")
    return Baseline(float(seconds), tuple(names))


def survives(mutant: Mutant, tests: Sequence[str], known: Baseline) -> bool:
    """Whether all tests pass over a mutant. A run that does not end counts as noticed. Raises JudgeFails."""
    limit = known.seconds * 2 + 2
    child = _fork(lambda: _over(mutant, tests, limit))
    # What turns in a circle ends by its CPU time.
    return _wait(child, 60) == 0


def _over(mutant: Mutant, tests: Sequence[str], limit: float) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + limit), int(limit) + 60))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    name = module_of(mutant.path)
    if name in sys.modules:
        raise RuntimeError(f"{name} is imported already: its mutant would not be seen")
    sys.meta_path.insert(0, _Finder(name, mutant))
    return _pytest(tests)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the mutant in the place of its module."""

    def __init__(self, name: str, mutant: Mutant) -> None:
        self._name = name
        self._mutant = mutant

    def find_spec(self, name: str, _: object, __: ModuleType | None = None) -> ModuleSpec | None:
        if name != self._name:
            return None
        file = str(REPO / self._mutant.path)
        return importlib.util.spec_from_file_location(name, file, loader=_Loader(name, file, self._mutant))


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, file: str, mutant: Mutant) -> None:
        super().__init__(name, file)
        self._mutant = mutant

    def get_code(self, _: str):  # type: ignore[no-untyped-def]
        return compile(self._mutant.tree(), self.path, "exec")


def _pytest(tests: Sequence[str]) -> int:
    import pytest

    return int(pytest.main([*_OPTIONS, *tests]))


def _fork(work: Callable[[], int]) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = _BROKEN
    try:
        os.setsid()
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        if "MUTANTS_STDERR" not in os.environ:
            os.dup2(silence, 2)
        code = work()
    except BaseException:  # pytest itself answers with a code, whatever a test raises
        traceback.print_exc()
    finally:
        os._exit(code)


def _wait(child: int, idle_seconds: float) -> int:
    """The exit code; that of a signal if the child had to be ended, since it was idle for so long.

    Raises JudgeFails for a broken judge.
    """
    began, ended = time.monotonic(), False
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            if code == _BROKEN:
                raise JudgeFails("the judge itself failed: MUTANTS_STDERR=1 shows how")
            return code
        if not ended and time.monotonic() > began + idle_seconds and _idle(child, began) > idle_seconds:
            os.killpg(child, signal.SIGKILL)
            ended = True
        time.sleep(0.01)


def _idle(child: int, began: float) -> float:
    """For how many seconds since `began` a process has neither worked nor waited for a core.

    On a busy machine a run may wait for a core for minutes: that says nothing about its mutant.
    """
    worked, waited, _ = Path(f"/proc/{child}/schedstat").read_text().split()
    return time.monotonic() - began - (int(worked) + int(waited)) / 1e9


def module_of(path: str) -> str:
    """The name of a module by its path in the repository."""
    return path.removesuffix(".py").replace("/", ".")
