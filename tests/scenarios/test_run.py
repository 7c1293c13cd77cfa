"""`make run` as a newcomer sees it: the city starts, lives, heals, stops, and continues where it was."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.local.ports import free_port
from deploy.local.process import poll_until
from tests.city import STOP_SECONDS, city
from tests.paths import REPO


def _all_gone(children: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(children, timeout=0.1)[1]


@pytest.mark.timeout(300)
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

        (broker,) = [child for child in first.children() if "kafka.Kafka" in child.cmdline()]
        broker.kill()
        assert poll_until(lambda: "Kafka ended (signal 9)" in first.said, 20)
        answered = first.state()["answered"]
        assert poll_until(lambda: first.state()["answered"] > answered + 3, 120)

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


def test_a_taken_port_is_reported_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with city(tmp_path / "data", port, tmp_path / "said.txt") as running:
            assert running.process.wait(60) == 1
            assert f"port {port} is taken" in running.said
            assert not (tmp_path / "data" / "postgres").exists()


def test_an_unknown_pack_is_reported_in_a_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "run", "--pack", "no-such-city", "--data-dir", str(tmp_path)],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no-such-city" in done.stderr
    assert "cn-city, nl-city, us-city" in done.stderr
    assert done.stderr.count("\n") == 1
