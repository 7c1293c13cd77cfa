"""`python -m deploy.local.pair`: it leaves nothing behind, however it ends."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import process
from tests.integration.pair.conftest import processes_under
from tests.paths import REPO

pytestmark = pytest.mark.integration


def run_pair(folder: Path, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.local.pair", "--data", str(folder), "--", *command],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def supervised(open_tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`python -m deploy.local.pair` in a process of its own, with a command that says when it runs."""
    supervisor = run_pair(open_tmp_path, "sh", "-c", "echo up; exec sleep 600")
    with supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "up\n"
        try:
            yield supervisor
        finally:
            supervisor.kill()


def test_a_supervisor_that_is_killed_leaves_nothing_behind(
    supervised: subprocess.Popen[str], open_tmp_path: Path
) -> None:
    alive = " ".join(processes_under(open_tmp_path).values())
    assert "postgres" in alive
    assert "kafka.Kafka" in alive
    children = Path(f"/proc/{supervised.pid}/task/{supervised.pid}/children").read_text().split()
    assert len(children) == 3  # the two servers and the command

    supervised.kill()

    def all_gone() -> bool:
        return not processes_under(open_tmp_path) and not any(
            Path(f"/proc/{pid}").exists() for pid in children
        )

    assert process.poll_until(all_gone, timeout=30), processes_under(open_tmp_path)


def test_a_supervisor_that_is_asked_to_stop_stops_everything_first(
    supervised: subprocess.Popen[str], open_tmp_path: Path
) -> None:
    supervised.terminate()
    assert supervised.wait(30) == 128 + signal.SIGTERM
    assert processes_under(open_tmp_path) == {}


def test_the_command_finds_both_servers_and_its_exit_code_is_passed_on(open_tmp_path: Path) -> None:
    with run_pair(open_tmp_path, "sh", "-c", "echo $DATABASE_URL $KAFKA_BOOTSTRAP; exit 7") as supervisor:
        out, _ = supervisor.communicate(timeout=60)
    url, bootstrap = out.split()
    assert url.startswith("postgres://postgres@127.0.0.1:")
    assert url.endswith("/civicloom")
    assert bootstrap.startswith("127.0.0.1:")
    assert supervisor.returncode == 7
    assert processes_under(open_tmp_path) == {}
