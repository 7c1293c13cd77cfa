"""Children that never outlive us, and the ports that they are given."""

import signal
import threading
from pathlib import Path

import pytest

from deploy.local import process
from deploy.local.ports import free_port

pytestmark = pytest.mark.integration


def test_a_child_is_not_started_from_a_thread_whose_end_would_end_it() -> None:
    refused: list[RuntimeError] = []

    def start() -> None:
        try:
            process.spawn("sleep", ["sleep", "60"])
        except RuntimeError as error:
            refused.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(refused[0])


def test_a_child_that_ignores_the_signal_is_killed_after_the_grace() -> None:
    with Path("/dev/null").open("wb") as nowhere:
        child = process.spawn("stubborn", ["sh", "-c", "trap '' TERM; sleep 60 & wait; wait"], log=nowhere)
    trapped = Path(f"/proc/{child.pid}/status")
    ignores_term = 1 << (signal.SIGTERM - 1)
    assert process.poll_until(lambda: bool(_ignored(trapped) & ignores_term), timeout=10)
    assert child.stop(grace=0.2) == -signal.SIGKILL


def _ignored(status: Path) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith("SigIgn"))
    return int(line.split()[1], 16)


def test_free_ports_can_be_listened_on_and_lie_below_those_of_outgoing_connections() -> None:
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert (
        all(port < lowest_outgoing for port in (free_port() for _ in range(20))) or lowest_outgoing < 16_000
    )
