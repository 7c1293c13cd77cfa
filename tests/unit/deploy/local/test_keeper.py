"""A program that ends is started again, slower each time."""

import sys
import time
from pathlib import Path

from deploy.local.keeper import Keeper, Program
from deploy.local.process import poll_until


def keeper(tmp_path: Path, code: str) -> Keeper:
    return Keeper(Program("sample", [sys.executable, "-c", code], {"SAYS": "hello"}, tmp_path / "log"))


def _told(kept: Keeper) -> str:
    said: list[str] = []

    def ended() -> bool:
        said.extend(filter(None, [kept.tend()]))
        return bool(said)

    assert poll_until(ended, 20)
    return said[0]


def test_what_ended_is_told_and_started_again(tmp_path: Path) -> None:
    kept = keeper(tmp_path, "import os; print(os.environ['SAYS'], flush=True); raise SystemExit(7)")
    kept.start()
    assert "exit code 7" in _told(kept)
    assert "exit code 7" in _told(kept)
    assert kept.restarts == 1
    assert (tmp_path / "log").read_text() == "hello\n" * 2


def test_the_pause_between_two_starts_grows(tmp_path: Path) -> None:
    kept = keeper(tmp_path, "raise SystemExit(1)")
    kept.start()
    assert ["again in 0.5 s" in _told(kept), "again in 1 s" in _told(kept)] == [True, True]


def test_a_running_program_is_left_alone_and_stops_when_asked(tmp_path: Path) -> None:
    kept = keeper(tmp_path, "import time; time.sleep(600)")
    kept.start()
    pid = kept.pid
    assert kept.tend() is None
    assert kept.pid == pid
    began = time.monotonic()
    kept.stop(grace=20)
    assert time.monotonic() - began < 10
    assert kept.pid is None


def test_who_does_not_listen_is_killed(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    kept = keeper(tmp_path, deaf)
    kept.start()
    assert poll_until(lambda: "deaf" in (tmp_path / "log").read_text(), 20)
    kept.stop(grace=0.2)
    assert kept.pid is None
