"""Chaos breaks and restarts the pair of the run; servers that the environment names are left alone."""

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.pair import Pair, temporary_folder

# The clients of this process log many times a second that a killed broker is away.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    """As in production: its PostgreSQL waits for the disk."""
    with temporary_folder() as folder, Pair(folder) as running:
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
