"""A `civicloom run` that a test starts, queries and ends."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from deploy.local.process import poll_until
from tests.paths import REPO

READY_SECONDS = 240
STOP_SECONDS = 40


class City:
    """A running `civicloom run` with more `options`, and its output so far."""

    def __init__(self, folder: Path, port: int, output: Path, *options: str) -> None:
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
            *options,
        ]
        # With its own servers, also where the suite itself uses others.
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
        found = re.search(r"case number (\S+), access code (\S+)", self.said)
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
def city(folder: Path, port: int, output: Path, *options: str) -> Iterator[City]:
    """A city that is stopped at the end, whatever happened."""
    running = City(folder, port, output, *options)
    try:
        yield running
    finally:
        children = running.children() if running.process.poll() is None else []
        running.process.kill()  # the kernel signals its children
        running.process.wait()
        psutil.wait_procs(children, STOP_SECONDS)
