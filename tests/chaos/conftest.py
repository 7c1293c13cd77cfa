"""Chaos has a pair of its own, since it kills it."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.pair import Pair, temporary_folder

# The clients of this process say many times a second that a killed broker is away.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@pytest.fixture(scope="module")
def breakable_pair() -> Iterator[Pair]:
    """A pair that may be killed and restarted; servers named by the environment are left alone."""
    with temporary_folder() as folder, Pair(folder) as running:
        yield running


@pytest.fixture
def folder() -> Iterator[Path]:
    """Data and logs of an installation; `CHAOS_KEEP` names a folder where they stay."""
    kept = os.environ.get("CHAOS_KEEP")
    if kept:
        Path(kept).mkdir(parents=True, exist_ok=True)
        yield Path(kept)
    else:
        with temporary_folder() as temporary:
            yield temporary
