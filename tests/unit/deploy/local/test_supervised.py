"""A program that ends is started again, slower each time."""

import sys
import time
from pathlib import Path

from deploy.local.process import poll_until
from deploy.local.supervised import Program, SupervisedProgram


def supervised(tmp_path: Path, code: str) -> SupervisedProgram:
    return SupervisedProgram(
        Program("sample", [sys.executable, "-c", code], {"SAYS": "hello"}, tmp_path / "log")
    )


def _reported(program: SupervisedProgram) -> str:
    said: list[str] = []

    def ended() -> bool:
        said.extend(filter(None, [program.restart_if_ended()]))
        return bool(said)

    assert poll_until(ended, 20)
    return said[0]


def test_what_ended_is_reported_and_started_again(tmp_path: Path) -> None:
    program = supervised(tmp_path, "import os; print(os.environ['SAYS'], flush=True); raise SystemExit(7)")
    program.start()
    assert "exit code 7" in _reported(program)
    assert "exit code 7" in _reported(program)
    assert program.restarts == 1
    assert (tmp_path / "log").read_text() == "hello\n" * 2


def test_the_pause_between_two_starts_grows(tmp_path: Path) -> None:
    program = supervised(tmp_path, "raise SystemExit(1)")
    program.start()
    assert ["again in 0.5 s" in _reported(program), "again in 1 s" in _reported(program)] == [True, True]


def test_a_running_program_is_left_alone_and_stops_when_asked(tmp_path: Path) -> None:
    program = supervised(tmp_path, "import time; time.sleep(600)")
    program.start()
    pid = program.pid
    assert program.restart_if_ended() is None
    assert program.pid == pid
    began = time.monotonic()
    program.stop(grace=20)
    assert time.monotonic() - began < 10
    assert program.pid is None


def test_a_program_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    program = supervised(tmp_path, deaf)
    program.start()
    assert poll_until(lambda: "deaf" in (tmp_path / "log").read_text(), 20)
    program.stop(grace=0.2)
    assert program.pid is None
