"""A process whose event loop stands still ends by itself, even without memory; a stopped one goes on."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from shared.watchdog import EXIT_CODE
from tests.paths import REPO

WATCHED = """
import asyncio, resource, sys, threading, time
from shared.watchdog import Watchdog

async def work():
    {work}

async def main():
    with Watchdog("sample", {steps}, step_seconds=0.05):
        await asyncio.sleep(0.2)
        print("working", flush=True)
        await work()
    print("done", flush=True)

asyncio.run(main())
"""
# As it was seen: the memory is used up, and the loop's thread waits for something that never comes.
NO_MEMORY = """
    lock = threading.Lock()
    lock.acquire()
    mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped, mapped))
    kept, size = [], 1 << 20
    while size:
        try:
            kept.append(bytearray(size))
        except MemoryError:
            size //= 2
    lock.acquire()
"""


def watched(work: str, steps: int = 6) -> subprocess.Popen[str]:
    code = WATCHED.format(work=textwrap.dedent(work).strip().replace("\n", "\n    "), steps=steps)
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> str:
    """What it wrote to standard error, once it has ended as the watchdog ends it."""
    with process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (EXIT_CODE, "working\n"), err
    assert '"event":"the event loop stands still: the process ends","service":"sample"' in err
    return err


def test_a_loop_that_stands_still_ends_the_process_with_its_stacks() -> None:
    err = ended(watched("time.sleep(60)"))
    assert "in work" in err
    assert "in _watch" in err


def test_a_loop_that_waits_for_a_lock_ends_too() -> None:
    ended(watched("lock = threading.Lock(); lock.acquire(); lock.acquire()"))


def test_without_memory_the_process_ends_all_the_same() -> None:
    ended(watched(NO_MEMORY))


def test_a_loop_that_turns_goes_on() -> None:
    """The control: steps that are long for the loop's turns, and short for the whole."""
    with watched("await asyncio.sleep(1)") as process:
        assert process.communicate(timeout=30)[0] == "working\ndone\n"
    assert process.returncode == 0


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="the platform cannot stop a process")
def test_a_process_that_was_stopped_for_longer_goes_on() -> None:
    with watched("await asyncio.sleep(0.5)") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(1)
        os.kill(process.pid, signal.SIGCONT)
        assert process.stdout.read() == "done\n"
    assert process.returncode == 0
