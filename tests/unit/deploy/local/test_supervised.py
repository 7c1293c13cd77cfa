"""A program or server that ends is started again, slower each time; none of it ends the city."""

import sys
import time
from pathlib import Path

import pytest

from deploy.local.errors import LocalError, StartFailedError
from deploy.local.process import poll_until, spawn
from deploy.local.server import Server
from deploy.local.supervised import Program, SupervisedProgram, SupervisedServer
from deploy.local.supervisor import Supervisor
from tests.paths import REPO


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


class Fragile(Server):
    """A server whose start `fails` so often: the first time it cannot be spawned, then it ends at once."""

    NAME = "Fragile"
    START_SECONDS = 5.0
    STOP_SECONDS = 5.0
    STALE = ()
    fails = 0

    def _spawn(self) -> None:
        self.fails -= 1
        if self.fails == 1:
            raise OSError(28, "No space left on device")
        code = "raise SystemExit(1)" if self.fails == 0 else "import time; time.sleep(600)"
        self.child = spawn(self.NAME, [sys.executable, "-c", code], log=self.log)

    def _answers(self) -> bool:
        return True


def test_a_server_that_cannot_start_for_a_while_is_tried_again_and_not_waited_for(tmp_path: Path) -> None:
    server = Fragile(tmp_path, None, "log").start()
    supervised = SupervisedServer(server)
    assert supervised.restart_if_ended() is None
    server.fails = 2
    assert server.child is not None
    server.child.kill()
    said: list[str] = []

    def runs_again() -> bool:
        began = time.monotonic()
        said.extend(filter(None, [supervised.restart_if_ended()]))
        assert time.monotonic() - began < 1  # others are tended meanwhile
        return server.fails < 0

    try:
        assert poll_until(runs_again, 20)
        assert [sentence.partition(";")[0] for sentence in said] == [
            "Fragile ended (signal 9)",
            "Fragile does not start ([Errno 28] No space left on device)",
            "Fragile ended (exit code 1)",
        ]
    finally:
        server.stop()


class FullDisk:
    """A pair that starts as soon as there is room."""

    postgres = kafka = None

    def __init__(self, error: LocalError, times: int) -> None:
        self.error, self.left = error, times

    def start(self) -> None:
        self.left -= 1
        if self.left >= 0:
            raise self.error


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    monkeypatch.setattr("deploy.local.supervisor._FULL_SECONDS", 0.01)
    return Supervisor(8080, tmp_path, REPO / "policies" / "cn-city", sample=False)


def test_a_city_waits_for_room_on_its_disk(
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    failed = StartFailedError("PostgreSQL", "exit code 1", tmp_path / "log", "No space left on device")
    pair = FullDisk(failed, 2)
    with pytest.raises(StartFailedError):  # with room it is another fault, which waiting does not mend
        supervisor._start_pair(pair)
    monkeypatch.setattr("deploy.local.supervisor._NEEDED_BYTES", 1 << 62)
    supervisor._start_pair(pair)
    assert capsys.readouterr().out.count("is full; trying again") == 1
