"""`make run` as a stranger meets it: the city comes up, lives, heals, stops, and goes on where it was."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from deploy.local.ports import free_port
from deploy.local.process import poll_until
from tests.paths import REPO

READY_SECONDS = 240
STOP_SECONDS = 40


class City:
    """One `civicloom run`, and what it has said so far."""

    def __init__(self, folder: Path, port: int, output: Path) -> None:
        self.folder, self.output = folder, output
        self.address = f"http://127.0.0.1:{port}"
        command = [
            sys.executable,
            "-m",
            "services.cli",
            "run",
            "--port",
            str(port),
            "--data-dir",
            str(folder),
        ]
        # The real thing, also where the suite itself uses servers of others.
        outside = {"DATABASE_URL", "KAFKA_BOOTSTRAP", "KAFKA_PORT", "SMTP_URL"}
        environment = {name: value for name, value in os.environ.items() if name not in outside}
        with output.open("wb") as opened:
            self.process = subprocess.Popen(
                command, cwd=REPO, env=environment, stdout=opened, stderr=subprocess.STDOUT
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_until_ready(self) -> None:
        poll_until(lambda: "ready after" in self.said or self.process.poll() is not None, READY_SECONDS)
        assert "ready after" in self.said, self.said

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def shown(self) -> tuple[str, str]:
        """The sample case that it tells to look at."""
        found = re.search(r"number (\S+)  secret (\S+)", self.said)
        assert found, self.said
        return found[1], found[2]

    def track(self) -> dict[str, Any]:
        number, secret = self.shown()
        answer = httpx.get(
            f"{self.address}/api/inquiry/v1/inquiries/{number}", headers={"X-Case-Secret": secret}, timeout=20
        )
        assert answer.status_code == 200, answer.text
        case: dict[str, Any] = answer.json()
        return case

    def log_size(self) -> int:
        return int(httpx.get(f"{self.address}/log/checkpoint", timeout=20).text.split("\n")[1])

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.folder / "sample" / "state.json").read_text())
        return state


@contextmanager
def city(folder: Path, port: int, output: Path) -> Iterator[City]:
    running = City(folder, port, output)
    try:
        yield running
    finally:
        children = running.children() if running.process.poll() is None else []
        running.process.kill()  # its children are told by the kernel
        running.process.wait()
        psutil.wait_procs(children, STOP_SECONDS)


def _all_gone(children: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(children, timeout=0.1)[1]


def test_a_city_lives_heals_stops_and_goes_on(open_tmp_path: Path) -> None:
    folder, port = open_tmp_path / "data", free_port()
    with city(folder, port, open_tmp_path / "first.txt") as first:
        first.wait_until_ready()
        assert poll_until(lambda: first.track()["state"] == "replied", 90), first.track()
        assert poll_until(lambda: first.state()["rated"] > 0, 60)
        assert poll_until(lambda: first.state()["published"] > 0, 60)
        assert httpx.get(f"{first.address}/feeds/all.json", timeout=20).json()["items"]
        assert poll_until(lambda: first.log_size() > 100, 60)
        assert poll_until(lambda: any((folder / "mail").glob("*.eml")), 60)

        (victim,) = [child for child in first.children() if child.cmdline()[-1] == "services.routing"]
        victim.kill()
        assert poll_until(lambda: "routing ended (signal 9)" in first.said, 20)
        answered = first.state()["answered"]
        assert poll_until(lambda: first.state()["answered"] > answered + 3, 90)

        children = first.children()
        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(STOP_SECONDS) == 0
        assert _all_gone(children)
        asked = first.state()["asked"]

    with city(folder, port, open_tmp_path / "second.txt") as second:
        second.wait_until_ready()
        assert second.shown() == first.shown()
        assert second.track()["state"] == "replied"
        assert poll_until(lambda: second.state()["asked"] > asked, 30)
        children = second.children()
        second.process.kill()
        assert poll_until(lambda: _all_gone(children), STOP_SECONDS), children


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with city(tmp_path / "data", port, tmp_path / "said.txt") as running:
            assert running.process.wait(60) == 1
            assert f"port {port} is taken" in running.said
            assert not (tmp_path / "data" / "postgres").exists()


def test_an_unknown_pack_is_told_as_a_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "run", "--pack", "no-such-city", "--data-dir", str(tmp_path)],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no-such-city" in done.stderr
    assert "Traceback" not in done.stderr
