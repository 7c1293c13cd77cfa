"""Chaos breaks the pair that the run has started, and mends it; servers from the environment it spares."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.pair import temporary_folder

# The clients of this process say many times a second that a killed broker is away.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


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
