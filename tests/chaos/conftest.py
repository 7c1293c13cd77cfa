"""Chaos breaks and restarts the pair of the run; servers that the environment names are left alone."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.pair import Pair, temporary_folder
from harness.disks import Disk, disk, may_mount
from harness.resource_faults import Disks
from tests.chaos.length import LONG, SECONDS, SEED

# The clients of this process log many times a second that a killed broker is away.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


_FORM = f"chaos: {'long' if LONG else 'short'}, {SECONDS:.0f} s of mixed faults, CHAOS_SEED={SEED}"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Says how to repeat the run, also if it is cut short."""
    session.config.get_terminal_writer().line(_FORM)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Once more, beside what failed."""
    terminalreporter.write_line(_FORM)


@dataclass(frozen=True, slots=True)
class Servers:
    """The folder of the pair, and the disks of broker and database; None if we have no right to mount any."""

    folder: Path
    disks: tuple[Disk, Disk] | None


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with temporary_folder() as folder, ExitStack() as stack:
        disks = None
        if may_mount():
            mounted = [stack.enter_context(disk(folder / name)) for name in ("kafka", "postgres")]
            disks = mounted[0], mounted[1]
        yield Servers(folder, disks)


@pytest.fixture(scope="session")
def pair(servers: Servers) -> Iterator[Pair]:
    """As in production: its PostgreSQL asks the disk to keep what it commits."""
    with Pair(servers.folder) as running:
        yield running


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The folder of an installation's data and logs; with `CHAOS_KEEP` a new one in there, which is kept."""
    kept = os.environ.get("CHAOS_KEEP")
    if kept:
        Path(kept).mkdir(parents=True, exist_ok=True)
        yield Path(tempfile.mkdtemp(prefix=f"{request.node.name}-", dir=kept))
    else:
        with temporary_folder() as temporary:
            yield temporary


@pytest.fixture
def disks(servers: Servers, folder: Path) -> Iterator[Disks | None]:
    """Those of the pair, and one for the log that an installation in `folder` publishes."""
    if servers.disks is None:
        yield None
        return
    with disk(folder / "data" / "log") as log:
        yield Disks(*servers.disks, log)
